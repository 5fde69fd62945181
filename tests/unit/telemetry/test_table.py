"""The table of metrics is what is made: an alarm or a chart on a metric that nobody makes is quiet for ever.

``python -m tests.unit.telemetry.test_table`` writes the table of docs/operations/seeing.md anew.
"""

import importlib.util
import json
import logging
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from search_api import failures, telemetry
from search_ops import ecs_worker
from searchsync.canary.policy import policy
from searchsync.stream.consumer import Outcome
from searchsync.telemetry import embedded, metrics

REPO = Path(__file__).parents[3]
PAGE = REPO / "docs" / "operations" / "seeing.md"
BEGIN, END = "<!-- the table of metrics: written by tests/unit/telemetry/test_table.py -->\n", "<!-- its end -->"
EMITTED = re.compile(r'\bmetrics\.emit\(\s*"(\w+)"')


def rows(by: str) -> dict[str, metrics.Metric]:
    return {name: metric for name, metric in metrics.table().items() if metric.by == by}


def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The function, as its process loads it; its log is not the one of this process."""
    monkeypatch.setenv("SEARCHSYNC_ENTITY", "members")
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("SEARCHSYNC_OPENSEARCH_AWS_SERVICE", raising=False)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    spec = importlib.util.spec_from_file_location("stream_handler", REPO / "lambdas" / "stream" / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_function_makes_what_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    module = handler(monkeypatch)
    described = rows("function")
    assert {name: metric.unit for name, metric in described.items()} == module.UNITS
    assert module._metrics(Outcome(records=3, failed="away")).keys() == described.keys()
    assert {metric.dimensions for metric in described.values()} == {("Entity",)}
    judged = {
        (signal.name, dimension)
        for subject in policy().subjects.values()
        for signal in subject.signals.values()
        if signal is not None and signal.namespace == embedded.NAMESPACE
        for dimension in signal.dimensions.keys() - {"Entity"}
    }
    finer = {(name, dimension) for dimension, names in module.JUDGED.items() for name in names}
    assert judged == finer, "a new version would be judged by figures that nobody keeps for it"


def test_a_worker_makes_what_the_table_says() -> None:
    line: dict[str, Any] = json.loads(ecs_worker.metrics(queued=1, running=2))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert {one["Name"]: one["Unit"] for one in directive["Metrics"]} == {
        name: metric.unit for name, metric in rows("worker").items()
    }
    assert {metric.dimensions for metric in rows("worker").values()} == {tuple(directive["Dimensions"][0])}
    assert line["Service"] in (REPO / "infra" / "observe.tf").read_text(encoding="utf-8")


def test_lines_of_the_search_api_are_counted_as_the_table_says() -> None:
    alarms = yaml.safe_load((REPO / "include" / "policies" / "alarms.yaml").read_text(encoding="utf-8"))
    assert rows("search-api").keys() == alarms["log_metrics"].keys()


def test_tasks_make_what_the_table_says() -> None:
    """Each emission names its metric where it is made, so that whoever reads the table finds it."""
    sources = [path for folder in ("src", "plugins") for path in (REPO / folder).rglob("*.py")]
    emitted = {name for path in sources for name in EMITTED.findall(path.read_text(encoding="utf-8"))}
    assert emitted == rows("task").keys()


def test_a_tenant_a_run_or_an_index_is_no_dimension() -> None:
    """CloudWatch keeps, and bills, a metric for each value of its dimensions: there would be thousands."""
    kept = [metric for metric in metrics.table().values() if metric.by != "scrape"]
    used = {dimension for metric in kept for dimension in metric.dimensions}
    assert used == {"Entity", "Service", "Dag", "Component", "Alarm"}


def test_the_search_api_shows_what_the_table_says() -> None:
    requests = (telemetry.REQUESTS, telemetry.CACHE, telemetry.PROBLEMS, failures.FAILURES)
    shown = (*requests, telemetry.ASKS, telemetry.TOKENS)
    assert {metric._name: metric._labelnames for metric in shown} == {
        name: metric.dimensions for name, metric in rows("scrape").items()
    }


def test_the_page_has_the_table() -> None:
    """Who writes a new alarm reads the page."""
    assert PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0] == page_table()


def page_table() -> str:
    made_by = {
        "function": "function, each batch",
        "worker": "worker, each minute",
        "task": "task",
        "search-api": "lines of the search API, counted",
        "scrape": "search API, at `/metrics`",
    }
    lines = ["| metric | unit | dimensions | made by | what |", "|---|---|---|---|---|"]
    for name, metric in metrics.table().items():
        dimensions = ", ".join(metric.dimensions) or "–"
        lines.append(f"| `{name}` | {metric.unit} | {dimensions} | {made_by[metric.by]} | {metric.means} |")
    return "\n".join(["", *lines, "", ""])


if __name__ == "__main__":
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + page_table() + END + rest.split(END)[1], encoding="utf-8")
