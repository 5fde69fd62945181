"""A window that is wrong keeps nothing quiet, and says which line is wrong; one that is right is open when it says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from searchsync.catalog import include_dir
from searchsync.errors import BadParams
from searchsync.health import maintenance
from searchsync.health.maintenance import Window
from searchsync.health.memory import Memory
from searchsync.health.silences import readings

SINGLE = {
    "what": "all",
    "from": "2026-12-05T22:00:00+01:00",
    "until": "2026-12-06T04:00:00+01:00",
    "who": "Ada",
    "why": "Work.",
}
SERIES = SINGLE | {"until": "2027-06-01T00:00:00Z", "cron": "30 1 * * *", "minutes": 90, "timezone": "Europe/Berlin"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies").mkdir()
    schema = include_dir() / "policies" / "maintenance.schema.json"
    (tmp_path / "policies" / schema.name).write_text(schema.read_text())
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path))
    return tmp_path / "policies"


def read(folder: Path, **windows: object) -> dict[str, Window]:
    (folder / "maintenance.yaml").write_text(yaml.safe_dump({"windows": windows}, sort_keys=False))
    return dict(maintenance.windows())


def test_the_file_as_it_is_and_the_examples_in_it_are_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert maintenance.windows() == {}
    text = (include_dir() / "policies" / "maintenance.yaml").read_text(encoding="utf-8")
    examples = [line.removeprefix("# ") for line in text.partition("# windows:")[2].splitlines() if line[:3] == "#  "]
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(folder.parent))
    assert set(read(folder, **yaml.safe_load("\n".join(examples)))) == {"larger-nodes", "nightly-import"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": "2027-12-05T22:00:00+01:00"}, "it lasts 365 days"),
        ({"until": "2026-12-07T22:00:01+01:00"}, "2 days, 0:00:00 is the most"),
        ({"until": "2026-12-05T22:00:00+01:00"}, "it ends before it begins"),
        ({"until": "2026-12-06T04:00:00"}, "windows.w.until must be a moment with its time zone"),
        ({"until": "2026-13-06T04:00:00Z"}, "month must be in 1..12"),
        ({"until": None}, "w lacks until"),
        ({"who": None}, "w lacks who"),
        ({"what": "nothing"}, "nothing is no entity; it is one of"),
        ({"untill": "x"}, "untill is no key of windows.w; the keys are what, from, until"),
        ({"cron": "0 1 * * *"}, "minutes"),
        (SERIES | {"minutes": 3000}, "each of its windows lasts 2 days, 2:00:00"),
        (SERIES | {"cron": "* * * * *"}, "it never ends"),
        (SERIES | {"cron": "0 */2 * * *", "minutes": 120}, "it never ends"),
        (SERIES | {"cron": "0 25 * * *"}, "[0 25 * * *] is not acceptable"),
        (SERIES | {"cron": "0 0 1 * * *"}, "windows.w.cron must be five fields of cron"),
        (SERIES | {"cron": "0 1 30 2 *"}, "means no moment"),
        (SERIES | {"until": "2028-06-01T00:00:00Z"}, "366 days, 0:00:00 is the most"),
        (SERIES | {"timezone": "Europe/Berlin2"}, "Europe/Berlin2"),
    ],
)
def test_one_that_never_ends_is_too_long_or_makes_no_sense_is_refused(
    folder: Path, changes: dict[str, object], said: str
) -> None:
    row = {key: value for key, value in (SINGLE | changes).items() if value is not None}
    with pytest.raises(BadParams) as refused:
        read(folder, good=SINGLE, w=row)
    assert said in str(refused.value)
    assert "maintenance.yaml:" in str(refused.value)


def test_a_series_is_open_by_the_clock_of_its_place(folder: Path) -> None:
    window = read(folder, w=SERIES)["w"]
    for moment, is_open in {
        "2026-12-10T00:29:59+00:00": False,
        "2026-12-10T00:30:00+00:00": True,  # half past one in Berlin
        "2026-12-10T01:59:59+00:00": True,
        "2026-12-10T02:00:00+00:00": False,
        "2027-05-09T23:30:00+00:00": True,  # summer
        "2027-05-10T01:00:00+00:00": False,
        "2027-03-28T00:30:00+00:00": True,  # the night in which clocks are put forward
        "2027-06-01T00:30:00+00:00": False,  # the series is over
    }.items():
        assert window.is_open(datetime.fromisoformat(moment)) is is_open, moment


def test_a_series_counts_days_and_weekdays_as_cron_does(folder: Path) -> None:
    days = [datetime(2027, 1, day, 12, tzinfo=UTC) for day in range(1, 32)]
    for cron, wanted in {
        "0 12 * * sun": [3, 10, 17, 24, 31],
        "0 12 * * 7": [3, 10, 17, 24, 31],
        "0 12 1,15 * *": [1, 15],
        "0 12 13 * fri": [1, 8, 13, 15, 22, 29],  # either of them is enough
        "0 12 10-20/5 1 *": [10, 15, 20],
        "0 12 */10 * *": [1, 11, 21, 31],
    }.items():
        row = SERIES | {"cron": cron, "timezone": "UTC", "minutes": 1}
        window = read(folder, w=row)["w"]
        assert [day.day for day in days if window.is_open(day)] == wanted, cron


def test_what_begins_in_an_hour_that_is_left_out_does_not_begin_and_one_that_comes_twice_counts_once(
    folder: Path,
) -> None:
    row = SERIES | {"until": "2027-12-01T00:00:00Z", "cron": "30 2 * * *", "minutes": 10}
    window = read(folder, w=row)["w"]
    hours = {0: "00:35", 1: "01:35", 2: "02:35"}
    nights = {
        day: [hour for hour, at in hours.items() if window.is_open(datetime.fromisoformat(f"{day}T{at}:00+00:00"))]
        for day in ("2027-03-27", "2027-03-28", "2027-03-29", "2027-10-30", "2027-10-31", "2027-11-01")
    }
    assert nights == {
        "2027-03-27": [1],
        "2027-03-28": [],
        "2027-03-29": [0],
        "2027-10-30": [0],
        "2027-10-31": [0],
        "2027-11-01": [1],
    }


def test_what_was_forgotten_is_counted_in_days(folder: Path) -> None:
    windows = read(folder, old=SINGLE, used=SERIES, idle=SERIES)
    now = datetime(2027, 2, 1, tzinfo=UTC)
    used = {"used": (now - timedelta(days=27)).isoformat(), "idle": (now - timedelta(days=29)).isoformat()}
    paused = {"capacity": (now - timedelta(days=8)).isoformat()}
    found = {one.subject: one.value for one in readings(Memory(used=used), windows, paused, now)}
    assert {name: round(value or 0) for name, value in found.items()} == {
        "old": 57,
        "used": 0,
        "idle": 29,
        "capacity": 8,
    }
