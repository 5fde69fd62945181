"""The file of objectives: a promise that is not below the objective would be broken before anybody is woken."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from searchsync import alarms
from searchsync.catalog import include_dir
from searchsync.errors import BadParams
from searchsync.slo import policy


def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    shutil.copytree(include_dir() / "policies", tmp_path / "policies")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path))
    path = tmp_path / "policies" / "slo.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_is_aimed_at_is_what_the_alarms_follow_from() -> None:
    """One number: 99.95 stands in alarms.yaml alone."""
    found, numbers = policy.read(), alarms.objective()
    availability = found.objectives["availability"]
    assert (availability.share, availability.promised) == (Fraction("0.9995"), Fraction("0.999"))
    assert float(availability.share * 100) == numbers["availability"]
    assert "99.95" not in (include_dir() / "policies" / "slo.yaml").read_text(encoding="utf-8")


def test_each_promise_is_looser_than_its_objective() -> None:
    for name, one in policy.read().objectives.items():
        if one.promised is not None:
            assert one.promised < one.share, name
            assert one.tiers[0].below == one.promised, name


def test_the_errors_are_allowed_more_than_what_is_not_answered() -> None:
    """X14: they count stale answers, too, so an objective as strict would never be the one that is missed."""
    found = policy.read().objectives
    assert found["errors"].share < found["availability"].share


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("promised: 99.5", "promised: 99.9", r"slo\.yaml:\d+: indicators\.errors\.promised must be less than its"),
        ("promised: 90", "promised: 91", r"slo\.yaml:\d+: indicators\.latency\.credits must begin below .* 91 %"),
        ("{below: 99, credit: 25}", "{below: 99.9, credit: 25}", r"credits must grow from row to row"),
        ("{below: 95, credit: 100}", "{below: 95, credit: 25}", r"credits must grow from row to row"),
        ("zone: UTC", "zone: Mars/Base", r"slo\.yaml:\d+: zone: there is no time zone 'Mars/Base'"),
        ("    promised: 90\n", "", r"slo\.yaml:\d+: .*lacks promised"),
        ("objective: 95\n", "objective: 100\n", r"slo\.yaml:\d+: indicators\.latency\.objective must be a number, or"),
        ("{alarms: promised}", "{alarms: promise}", r"slo\.yaml:\d+: "),
        ("enough: 95", "enough: 0", r"enough must be 50 or more"),
        ("  exactness: ", "  exact: ", r"exact is no key of indicators"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    changed(tmp_path, monkeypatch, old, new)
    with pytest.raises(BadParams, match=said):
        policy.read()


def test_the_table_of_the_runbook_has_the_numbers_of_the_file() -> None:
    """Whoever asks what is promised reads the page."""
    page = (Path(__file__).parents[3] / "docs" / "operations" / "slo.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    told = {row[0].split(",")[0]: row[3:] for row in rows if len(row) == 6 and row[0] != "indicator (SLI)"}
    found = policy.read().objectives
    assert told.keys() == found.keys()
    for name, one in found.items():
        aimed, promised, given_back = told[name]
        assert aimed == policy.percent(one.share), name
        assert promised == (policy.percent(one.promised) if one.promised is not None else "–"), name
        for tier in one.tiers:
            credit = "all" if tier.credit == 1 else policy.percent(tier.credit)
            assert f"below {policy.percent(tier.below)}: {credit}" in given_back, name
