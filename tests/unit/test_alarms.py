"""The table of alarms as checks read it: a typo must not make an alarm that is never heard."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchsync import alarms
from searchsync.catalog import CATALOG, include_dir
from searchsync.errors import BadParams
from searchsync.telemetry import embedded, metrics

Change = Callable[[str, str], Path]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Put another text in the place of one that the table has once, and return the file."""
    policies = tmp_path / "policies"
    shutil.copytree(include_dir() / "policies", policies)
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path))
    moment = iter(range(1, 100))

    def change(old: str, new: str) -> Path:
        path = policies / "alarms.yaml"
        text = path.read_text("utf-8")
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), "utf-8")
        os.utime(path, ns=(0, next(moment)))  # two writes of a test may have one time
        return path

    return change


def test_a_threshold_is_the_number_that_it_refers_to() -> None:
    members, locations = CATALOG["members"], CATALOG["locations"]
    assert alarms.table()["cluster-memory"].threshold == 95
    assert alarms.table()["api-errors-1h"].threshold == 0.72
    assert alarms.table(members)["dead-letters-many"].threshold == 500
    assert alarms.table(locations)["documents-old"].threshold == 3 * 3600
    assert alarms.table(members)["documents-old"].threshold == 192 * 3600
    sizes = {"search_gigabytes": 100, "database_gigabytes": 200}
    assert alarms.table(sizes=sizes)["cluster-disk"].threshold == 25_600


def test_what_has_no_number_here_is_left_out() -> None:
    """A check must not compare with a number that nobody stated."""
    known = alarms.table()
    of_entities = {name for name, row in alarms.table(CATALOG["members"]).items() if name not in known}
    assert {"dead-letters-many", "documents-old", "comparison-old"} <= of_entities
    assert not {"cluster-disk", "database-disk"} & known.keys()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  gap-open:\n    signal:",
            "  gap-open:\n    singal:",
            r"singal is no key of alarms\.gap-open; the keys are ",
        ),
        ("    signal: OpenSearch does not answer,", "    signal: 3  #", r"alarms\.cluster-away\.signal must be a text"),
        ("    unit: gaps", "    unit: gaps\n    unit: holes", r"unit stands here a second time"),
        ("  cluster-slow:", "  cluster-red:", r"cluster-red stands here a second time"),
        (
            "{freshness: comparison}",
            "{freshness: comparisons}",
            r"alarms\.comparison-old\.threshold must be a number, \{fr",
        ),
        ("  cluster-pending:", "  cluster-pending: [", r"not YAML"),
        ("  drill-old:\n", "  drill-old:\n    each: entity\n", r"alarms\.drill-old lacks metric or expression"),
        ("availability: 99.95", "availability: 99,95", r"objective\.availability must be a number, not '99,95'"),
    ],
)
def test_a_typo_is_told_with_its_line(change: Change, old: str, new: str, said: str) -> None:
    path = change(old, new)
    with pytest.raises(BadParams, match=rf"^{path}:\d+: .*{said}"):
        alarms.table()


def test_a_table_that_was_put_right_is_read_again(change: Change) -> None:
    """A worker lives for weeks."""
    change("    unit: gaps", "    unti: gaps")
    with pytest.raises(BadParams):
        alarms.table()
    change("    unti: gaps", "    unit: gaps")
    assert alarms.table()["gap-open"].unit == "gaps"


def test_a_table_that_is_missing_is_told(change: Change) -> None:
    change("    unit: gaps", "    unit: holes").unlink()
    with pytest.raises(BadParams, match=r"cannot read .*alarms\.yaml"):
        alarms.table()


def test_an_alarm_is_told_after_so_many_looks() -> None:
    table = alarms.table()
    assert (table["cluster-red"].looks(300), table["cluster-yellow"].looks(300)) == (1, 3)
    assert (table["cluster-unassigned"].looks(300), table["shard-large"].looks(86_400)) == (12, 1)
    assert table["cluster-yellow"].looks(400) == 3, "a look is not left out because it comes late"


def test_what_a_check_found_is_reported_also_when_it_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a 0, the alarm would stay on for ever."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics, "_write", written.append)
    alarms.report({"cluster-away": 1, "gap-open": 0})
    assert [(line["Alarm"], line["Breaching"]) for line in written] == [("cluster-away", 1), ("gap-open", 0)]
    for line in written:
        (described,) = line["_aws"]["CloudWatchMetrics"]
        assert (described["Namespace"], described["Dimensions"]) == (embedded.NAMESPACE, [["Alarm"]])
