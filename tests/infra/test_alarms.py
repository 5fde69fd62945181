"""Alarms: who is told too late, too often, or of nothing at all does not look any more."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import structlog
from jsonschema import Draft202012Validator

from local.paths import ROOT
from search_api import telemetry
from search_api.engine.breaker import State
from search_api.engine.client import Engine
from search_api.exchange import Exchange
from searchsync import alarms
from searchsync.catalog import entity
from searchsync.telemetry import metrics
from tests.infra.alarm_series import STORIES
from tests.infra.alarms import ALARMS, TABLE, WATCHED, Rule, Series, evaluate, measured, rule_of, values_of
from tests.unit.test_docs import anchors

POLICIES = ROOT / "include" / "policies"
DOCUMENTED = {
    "AWS/ApiGateway": {"4xx", "5xx", "Count", "DataProcessed", "IntegrationLatency", "Latency"},
    "AWS/ApplicationELB": {"HealthyHostCount", "UnHealthyHostCount", "RequestCount", "TargetResponseTime"},
    "AWS/ECS": {"CPUUtilization", "MemoryUtilization"},
    "AWS/ES": {
        *("5xx", "AutomatedSnapshotFailure", "ClusterIndexWritesBlocked", "ClusterStatus.green", "ClusterStatus.red"),
        *("ClusterStatus.yellow", "CPUUtilization", "FreeStorageSpace", "IndexingLatency", "IndexingRate"),
        *("JVMMemoryPressure", "KMSKeyError", "KMSKeyInaccessible", "MasterCPUUtilization", "MasterReachableFromNode"),
        *("Nodes", "OpenSearchRequests", "SearchLatency", "SearchRate"),
    },
    "AWS/ElastiCache": {"DatabaseMemoryUsagePercentage", "EngineCPUUtilization", "Evictions"},
    "AWS/Lambda": {"Errors", "Invocations", "IteratorAge", "Throttles"},
    "AWS/RDS": {"CPUUtilization", "FreeStorageSpace", "FreeableMemory"},
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    "ECS/ContainerInsights": {"DesiredTaskCount", "RunningTaskCount"},
}
"""Metrics of AWS' documentation, of those namespaces that are used: a misspelt name would never have a datapoint."""

CONDITION = re.compile(r'\$\.([a-z_]+) = "([^"]+)"')


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    schema = json.loads((POLICIES / "alarms.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_file_is_what_its_schema_says(schema: Draft202012Validator) -> None:
    assert [f"{[*error.absolute_path]}: {error.message}" for error in schema.iter_errors(TABLE)] == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cluster-red", {"treshold": 2}),
        ("cluster-red", {"severity": "P4"}),
        ("cluster-red", {"environments": ["prod"]}),
        ("cluster-red", {"runbook": "https://example.org/wiki"}),
        ("cluster-red", {"missing": "maybe"}),
        ("cluster-red", {"because": "see above"}),
        ("cluster-red", {"period": 90}),
        ("cluster-red", {"threshold": {"freshness": "hour"}}),
        ("cluster-red", {"expression": "a / b"}),
    ],
)
def test_a_typo_is_refused(schema: Draft202012Validator, name: str, change: dict[str, Any]) -> None:
    table = {**TABLE, "alarms": {**ALARMS, name: {**ALARMS[name], **change}}}
    assert [*schema.iter_errors(table)]


@pytest.mark.parametrize(
    ("points", "missing", "three_of_three", "two_of_three"),
    [
        # Rows of the tables in CloudWatch's documentation: 0 within the threshold, 1 beyond, None no data.
        ([0, None, 1, None, 1], "ignore", "OK", "ALARM"),
        ([0, None, 1, None, 1], "breaching", "OK", "ALARM"),
        ([0, None, 1, None, 1], "notBreaching", "OK", "ALARM"),
        ([None, None, None, None, 0], "ignore", "OK", "OK"),
        ([None, None, None, None, 0], "breaching", "OK", "ALARM"),
        ([None, None, None, None, 0], "notBreaching", "OK", "OK"),
        ([None] * 5, "ignore", "before", "before"),
        ([None] * 5, "breaching", "ALARM", "ALARM"),
        ([None] * 5, "notBreaching", "OK", "OK"),
        ([0, 1, 1, None, 1], "ignore", "ALARM", "ALARM"),
        ([0, 1, 1, None, 1], "notBreaching", "ALARM", "ALARM"),
        ([None, None, 1, None, None], "ignore", "before", "before"),
        ([None, None, 1, None, None], "breaching", "ALARM", "ALARM"),
        ([None, None, 1, None, None], "notBreaching", "OK", "OK"),
        ([0, 0, 1, 0, 1], "notBreaching", "OK", "ALARM"),
        ([0, None, 1, None, None], "ignore", "OK", "OK"),
        ([0, None, 1, None, None], "notBreaching", "OK", "OK"),
        ([0, None, 1, None, None], "breaching", "OK", "ALARM"),
    ],
)
def test_series_are_judged_as_by_cloudwatch(
    points: list[float | None], missing: str, three_of_three: str, two_of_three: str
) -> None:
    assert Rule(">=", 1, 3, 3, missing).state(points, "before") == three_of_three
    assert Rule(">=", 1, 3, 2, missing).state(points, "before") == two_of_three


def test_metric_math_is_calculated_as_by_cloudwatch() -> None:
    assert evaluate("IF(a >= 5, 100 * a / b, 0)", {"a": 5, "b": 10}) == 50
    assert evaluate("IF(a >= 5, 100 * a / b, 0)", {"a": 4, "b": 10}) == 0
    assert evaluate("100 * a / (a + b)", {"a": None, "b": 10}) is None
    assert evaluate("100 * a / b", {"a": 1, "b": 0}) is None


def test_each_alarm_has_its_stories() -> None:
    assert STORIES.keys() == ALARMS.keys()


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_fires_and_is_over_when_all_is_well(name: str) -> None:
    """Also over: an alarm that stays for ever is not looked at when it means something."""
    row, rule = ALARMS[name], rule_of(ALARMS[name])
    fires, quiet = (values_of(row, story) for story in STORIES[name])
    assert rule.states(fires)[-1] == "ALARM"
    assert "ALARM" not in rule.states(quiet)
    well = next(point for point in reversed(quiet) if point is not None)
    assert rule.states([*fires, *[well] * (rule.periods + 2)])[-1] == "OK"


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_needs_as_many_datapoints_as_it_says(name: str) -> None:
    """One fewer is not told: the outage of a minute is no outage, unless the row says so."""
    row, rule = ALARMS[name], rule_of(ALARMS[name])
    fires, quiet = (values_of(row, story) for story in STORIES[name])
    states = {
        "ALARM": [point for point in fires if point is not None and rule.state([point] * rule.periods, "") == "ALARM"],
        "OK": [point for point in quiet if point is not None and rule.state([point] * rule.periods, "") == "OK"],
    }
    if states["ALARM"]:  # else it is about silence alone
        bad, good = states["ALARM"][0], states["OK"][0]
        too_few = [*[good] * (rule.periods - rule.breaching + 1), *[bad] * (rule.breaching - 1)]
        assert rule.state([good, good, *too_few], "OK") == "OK"
        assert rule.state([good, good, *too_few, bad], "OK") == "ALARM"


@pytest.mark.parametrize("name", ALARMS)
def test_silence_is_what_the_row_says(name: str) -> None:
    row, rule = ALARMS[name], rule_of(ALARMS[name])
    fires = values_of(row, STORIES[name].fires)
    silence = [None] * (rule.periods + 2)
    after_alarm, after_quiet = (rule.states([*silence], before)[-1] for before in ("ALARM", "OK"))
    expected = {"notBreaching": ("OK", "OK"), "breaching": ("ALARM", "ALARM"), "ignore": ("ALARM", "OK")}
    assert (after_alarm, after_quiet) == expected[row["missing"]]
    assert rule.states([*fires, *silence])[-1] == expected[row["missing"]][0]


def test_silence_is_a_fault_where_it_is_said_to_be() -> None:
    """With `breaching` for any other, a quiet night would wake somebody."""
    silent = {name for name, row in ALARMS.items() if row["missing"] == "breaching"}
    assert silent == {
        *(f"{what}-silent" for what in ("cluster", "database", "airflow-workers", "checks")),
        "api-no-task-ready",
    }


def test_an_alarm_that_ignores_silence_has_one_that_does_not() -> None:
    """What says nothing for ever would else stay well for ever."""
    silent = {
        namespace
        for row in WATCHED.values()
        for namespace in [metric["namespace"] for metric in measured(row).values()]
        if row["missing"] == "breaching"
    }
    heard = {
        metric["namespace"]
        for row in WATCHED.values()
        if row["missing"] == "ignore"
        for metric in measured(row).values()
    }
    assert heard - silent <= {"AWS/ElastiCache"}  # Airflow's services are missed when its broker is away


def test_every_row_with_a_check_is_looked_at() -> None:
    """One that no code names is quiet for ever. The quality DAG has these two as expectations."""
    sources = [path.read_text("utf-8") for room in ("src", "plugins") for path in (ROOT / room).rglob("*.py")]
    checked = {name for name, row in ALARMS.items() if "check" in row} - {"documents-old", "differences-found"}
    assert [name for name in sorted(checked) if not any(f'"{name}"' in source for source in sources)] == []


@pytest.mark.parametrize("name", [name for name, row in ALARMS.items() if "check" in row and "metric" not in row])
def test_a_check_judges_as_the_table_says(name: str) -> None:
    """By so many looks in a row; a look that failed is none."""
    row, story = ALARMS[name], STORIES[name]
    alarm = alarms.table(entity("members"))[name]
    looks = alarm.looks(row["period"])

    def longest(points: Series) -> int:
        """Return the most looks in a row that breach."""
        run = most = 0
        for point in points:
            run = run + 1 if point is not None and alarm.breaches(point) else 0
            most = max(most, run)
        return most

    assert longest(values_of(row, story.fires)) >= looks
    assert longest(values_of(row, story.quiet)) < looks
    assert row["periods"] == row["breaching"], "a check knows looks in a row alone"


def test_windows_are_those_that_cloudwatch_takes() -> None:
    """Together a day at most, or seven for periods of an hour and more, which are then looked at once an hour."""
    for name, row in ALARMS.items():
        assert row["breaching"] <= row["periods"], name
        assert row["period"] * row["periods"] <= 86_400, name


def test_runbooks_are_there() -> None:
    for name, row in ALARMS.items():
        path, _, anchor = row["runbook"].partition("#")
        assert (ROOT / path).is_file(), name
        assert not anchor or anchor in anchors(ROOT / path), f"{name}: {row['runbook']}"


def test_the_error_budget_is_spent_as_the_signals_say() -> None:
    """Windows and rates of a budget of 30 days: 2 % in an hour, 5 % in six hours, 10 % in a day."""
    spent = {"api-errors-1h": 0.02, "api-errors-6h": 0.05, "api-errors-1d": 0.1}
    for name, share in spent.items():
        row = ALARMS[name]
        assert row["threshold"]["burn_rate"] * row["period"] / (30 * 86_400) == pytest.approx(share)
    for name, row in TABLE["together"].items():
        long, short = (ALARMS[part] for part in row["parts"])
        assert long["threshold"] == short["threshold"], name
        assert long["period"] == 12 * short["period"], name
    parts = [part for row in TABLE["together"].values() for part in row["parts"]]
    assert Counter(parts) == Counter(name for name, row in ALARMS.items() if "severity" not in row)


def test_others_are_promised_less_than_is_aimed_at() -> None:
    """Else the promise is broken in the moment in which somebody is told."""
    left, promised = (100 - TABLE["objective"][name] for name in ("availability", "promised"))
    assert left <= promised / 2
    paged = TABLE["together"]["api-budget-fast"]["parts"][0]
    assert ALARMS[paged]["threshold"]["burn_rate"] * left < 1, "a hundredth of the requests is never waited for"


def test_a_budget_is_told_while_it_is_spent_and_not_afterwards() -> None:
    """The long window alone would go on for an hour after an outage of minutes."""
    long, short = (ALARMS[part] for part in TABLE["together"]["api-budget-fast"]["parts"])
    outage = {"failed": [80.0], "asked": [10_000.0]}
    over = {"failed": [0.0], "asked": [900.0]}
    assert [rule_of(row).states(values_of(row, outage))[-1] for row in (long, short)] == ["ALARM", "ALARM"]
    assert rule_of(short).states(values_of(short, over))[-1] == "OK"


def test_what_wakes_somebody_reaches_a_pager_and_all_else_does_not() -> None:
    paged = {severity for severity, row in TABLE["severities"].items() if "pagerduty" in row["channels"]}
    assert paged == {"P0", "P1"}
    assert all("production" in row["environments"] for row in ALARMS.values())


def test_metrics_of_aws_are_documented() -> None:
    used = [metric for row in WATCHED.values() for metric in measured(row).values()]
    ours = {"SearchSync", "SearchSync/SearchApi"}
    unknown = {
        f"{metric['namespace']} {metric['name']}"
        for metric in used
        if metric["namespace"] not in ours and metric["name"] not in DOCUMENTED[metric["namespace"]]
    }
    assert not unknown


def test_metrics_of_our_own_are_those_that_somebody_makes() -> None:
    """An alarm on a metric that nobody emits is quiet for ever."""
    used = {
        (*metric.get("dimensions", ()), metric["name"])
        for row in WATCHED.values()
        for metric in measured(row).values()
        if metric["namespace"] == "SearchSync"
    }
    assert used <= {(*metric.dimensions, metric.name) for metric in metrics.table().values()}


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level
    configured = structlog.get_config() if structlog.is_configured() else None  # by Airflow, for its tasks
    monkeypatch.setattr(telemetry, "log", structlog.get_logger())
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()
    if configured:
        structlog.configure(**configured)


def test_each_metric_of_the_log_counts_lines_that_the_service_writes(
    own_logging: None, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The lines are those of the service itself: who rewords one would silence an alarm."""
    lines = _written_by_the_service(capsysbinary)
    counted = {
        name: sum(_matches(metric["lines"], line) for line in lines) for name, metric in TABLE["log_metrics"].items()
    }
    assert counted == dict.fromkeys(TABLE["log_metrics"], 1)


def test_metrics_of_the_log_are_used_and_made() -> None:
    used = {
        metric["name"]
        for row in WATCHED.values()
        for metric in measured(row).values()
        if metric["namespace"] == "SearchSync/SearchApi"
    }
    assert used == TABLE["log_metrics"].keys()


def _written_by_the_service(capsysbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    telemetry.configure_logging("INFO")
    for cache in ("none", "hit", "miss", "stale"):
        telemetry.finished(Exchange({}, "r", None, route="members.search", cache=cache, status=200), 0.01)  # type: ignore[arg-type]
    telemetry.unexpected(Exchange({}, "r", None), LookupError("x"))  # type: ignore[arg-type]
    engine = Engine.__new__(Engine)
    engine._left_alone = False
    engine.breaker = type("Breaker", (), {"retry_after": 30.0})()
    for state in (State.OPEN, State.CLOSED):
        engine._say(state)
    telemetry.log.error("the last line is written at once, with what waits")
    return [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]


def _matches(pattern: str, line: Mapping[str, Any]) -> bool:
    """Whether CloudWatch's pattern counts a line: each named field equals a text, or begins with it before a ``*``."""
    conditions = CONDITION.findall(pattern)
    assert conditions
    for field, text in conditions:
        value = str(line.get(field))
        if not (value.startswith(text[:-1]) if text.endswith("*") else value == text):
            return False
    return True
