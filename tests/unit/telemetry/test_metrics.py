"""Metrics: with a wrong name, unit or dimension an alarm watches what nobody makes, and stays quiet for ever."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from searchsync.errors import BadParams
from searchsync.telemetry import metrics
from searchsync.telemetry.embedded import embedded


@pytest.fixture
def written() -> Iterator[list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    before = metrics._write
    metrics.write_with(lines.append)
    yield lines
    metrics.write_with(before)


def test_a_value_is_a_document_that_cloudwatch_understands(written: list[dict[str, Any]]) -> None:
    metrics.emit("Freshness", 1.5, entity="members", index="members-1", run="freshness/r1")
    [line] = written
    about = line["_aws"]
    assert 1.7e12 < about["Timestamp"] < 1e13, "milliseconds"
    [directive] = about["CloudWatchMetrics"]
    assert directive == {
        "Namespace": "SearchSync",
        "Dimensions": [["Entity"]],
        "Metrics": [{"Name": "Freshness", "Unit": "Seconds"}],
    }
    assert line["Entity"] == "members"
    assert line["Freshness"] == 1.5
    assert (line["index"], line["run"]) == ("members-1", "freshness/r1"), "fields to search by, not dimensions"


def test_a_finer_dimension_is_one_of_some_metrics_alone() -> None:
    """Else each metric of the function would be paid for once more with each deployment."""
    units = {"Records": "Count", "Lag": "Seconds"}
    line = embedded({"Records": 3, "Lag": 1}, units, {"E": "m", "V": "7"}, {"V": ["Records"]})
    common, finer = line["_aws"]["CloudWatchMetrics"]
    assert (common["Dimensions"], [one["Name"] for one in common["Metrics"]]) == ([["E"]], ["Records", "Lag"])
    assert (finer["Dimensions"], finer["Metrics"]) == ([["E", "V"]], [{"Name": "Records", "Unit": "Count"}])
    assert (line["E"], line["V"], line["Records"]) == ("m", "7", 3)


def test_a_metric_without_dimensions_has_one_series(written: list[dict[str, Any]]) -> None:
    metrics.emit("SnapshotAge", 3)
    assert written[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("Freshnes", {"entity": "members"}, "Freshnes is no metric of tasks"),
        ("Lag", {"entity": "members"}, "Lag is no metric of tasks"),
        ("Freshness", {}, "needs entity"),
        ("Freshness", {"entity": ""}, "needs entity"),
    ],
)
def test_a_mistake_in_the_code_is_told(name: str, fields: dict[str, str], said: str) -> None:
    with pytest.raises(BadParams, match=said):
        metrics.emit(name, 1, **fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: {A: {unit: Furlongs, dimensions: [], by: task, means: x}}", "A: 'Furlongs' is not one of"),
        ("metrics: {A: {unit: Count, by: task, means: x}}", "A must have"),
        ("metrics: {A: {unit: Count, dimensions: [], by: task, means: x, mean: y}}", "A must have"),
        ("metric: {}", "metrics"),
        ("metrics: [", "metrics.yaml"),
        ("", "metrics.yaml"),
    ],
)
def test_a_typo_in_the_table_is_named(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "metrics.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path))
    with pytest.raises(BadParams, match=said):
        metrics.table.__wrapped__()
