"""What CloudWatch and OpenSearch have becomes a report: nothing that is missing may look good."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from botocore.stub import Stubber

from searchsync.catalog import CATALOG
from searchsync.errors import BadConnection, BadParams, IndexUnavailable, SearchSyncError
from searchsync.freshness import result
from searchsync.freshness.result import LATE, MEASURED, Measured
from searchsync.quality.history import History
from searchsync.slo import month, policy, report, requests, run
from searchsync.slo.budget import MET, MISSED, UNKNOWN
from searchsync.slo.run import Report
from tests.unit.slo.months import NOVEMBER, STEP, at

MEMBERS = CATALOG["members"]
START = NOVEMBER.start - timedelta(days=1)
GATEWAY = [{"Name": "ApiId", "Value": "a1b2c3"}]
ALARMS: dict[str, Any] = {
    "MetricAlarms": [
        {
            "AlarmName": "searchsync-api-errors-1h",
            "Metrics": [
                {"Id": "value", "Expression": "IF(failed >= 5, 100 * failed / asked, 0)"},
                *(
                    {
                        "Id": name,
                        "MetricStat": {
                            "Metric": {"Namespace": "AWS/ApiGateway", "MetricName": metric, "Dimensions": GATEWAY},
                            "Period": 3600,
                            "Stat": "Sum",
                        },
                    }
                    for name, metric in (("failed", "5xx"), ("asked", "Count"))
                ),
            ],
        },
        {
            "AlarmName": "searchsync-api-answers-stale",
            "Namespace": "SearchSync/SearchApi",
            "MetricName": "StaleAnswers",
            "Dimensions": [],
        },
        {
            "AlarmName": "searchsync-api-slow",
            "Namespace": "AWS/ApiGateway",
            "MetricName": "Latency",
            "Dimensions": GATEWAY,
        },
        {
            "AlarmName": "searchsync-api-no-task-ready",
            "Namespace": "AWS/ApplicationELB",
            "MetricName": "HealthyHostCount",
            "Dimensions": [{"Name": "LoadBalancer", "Value": "app/x/1"}, {"Name": "TargetGroup", "Value": "t/x/1"}],
        },
    ]
}
Values = dict[str, dict[datetime, float]]


@pytest.fixture
def cloudwatch() -> Any:
    return boto3.client("cloudwatch", "eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")


def page(values: Values, token: str = "", state: str = "Complete") -> dict[str, Any]:
    results = [
        {"Id": name, "Timestamps": [*found], "Values": [*found.values()], "StatusCode": state}
        for name, found in values.items()
    ]
    return {"MetricDataResults": results} | ({"NextToken": token} if token else {})


def counts(cloudwatch: Any, *pages: dict[str, Any]) -> dict[str, month.Counts]:
    with Stubber(cloudwatch) as stub:
        stub.add_response("describe_alarms", ALARMS)
        for one in pages:
            stub.add_response("get_metric_data", one)
        found = requests.history(cloudwatch, START, NOVEMBER.end)
        stub.assert_no_pending_responses()
    return found


def test_pages_become_one_history_and_what_is_missing_stays_missing(cloudwatch: Any) -> None:
    first, second, third, fourth = (at(1) + STEP * number for number in range(4))
    found = counts(
        cloudwatch,
        page({"asked": {first: 100.0}, "failed": {first: 2.0}, "ready": {first: 2.0}}, "more", "PartialData"),
        page(
            {
                "asked": {second: 50.0},
                "stale": {second: 60.0},
                "measured": {first: 100.0, second: 50.0},
                "in_time": {first: 97.0},
                "ready": {second: 2.0, third: 2.0},
                "failed": {},
            }
        ),
    )
    assert found["availability"] == {first: (100, 2), second: (50, 0), third: (0, 0)}
    assert found["errors"] == {first: (100, 2), second: (50, 50), third: (0, 0)}, "more lines than requests are all"
    assert found["latency"] == {first: (100, 3), second: (50, 50), third: (0, 0)}, "none in time is none"
    assert fourth not in found["availability"], "neither requests nor a task: nothing is known"


def test_the_hour_that_a_local_zone_has_twice_is_not_lost(cloudwatch: Any) -> None:
    """Botocore gives times in the zone of the machine, and Python takes these for equal to no time of another zone."""
    berlin = ZoneInfo("Europe/Berlin")
    times = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + timedelta(hours=number) for number in range(3)]
    local = [time.astimezone(berlin) for time in times]  # two of them are equal, so they are no keys
    results = [
        {"Id": name, "Timestamps": local, "Values": [value] * 3, "StatusCode": "Complete"}
        for name, value in (("asked", 100.0), ("failed", 7.0))
    ]
    found = counts(cloudwatch, {"MetricDataResults": results})
    slots = month.by_seconds(found["availability"], times[0], times[-1] + STEP, 300)
    assert [slot.start for slot in slots if slot.total is not None] == times
    assert sum(slot.bad for slot in slots) == 21


def test_what_is_asked_is_what_the_alarms_look_at(cloudwatch: Any) -> None:
    """Of another API, or by another limit, the report would be of something else than the pager."""
    with Stubber(cloudwatch) as stub:
        names = [
            f"searchsync-{name}" for name in ("api-answers-stale", "api-errors-1h", "api-no-task-ready", "api-slow")
        ]
        stub.add_response("describe_alarms", ALARMS, {"AlarmNames": names})
        wanted = {
            "asked": ("AWS/ApiGateway", "Count", "Sum"),
            "failed": ("AWS/ApiGateway", "5xx", "Sum"),
            "stale": ("SearchSync/SearchApi", "StaleAnswers", "Sum"),
            "in_time": ("AWS/ApiGateway", "Latency", "TC(:500)"),
            "measured": ("AWS/ApiGateway", "Latency", "SampleCount"),
            "ready": ("AWS/ApplicationELB", "HealthyHostCount", "Maximum"),
        }
        dimensions = {"SearchSync/SearchApi": [], "AWS/ApplicationELB": ALARMS["MetricAlarms"][3]["Dimensions"]}
        queries = [
            {
                "Id": name,
                "MetricStat": {
                    "Metric": {
                        "Namespace": namespace,
                        "MetricName": metric,
                        "Dimensions": dimensions.get(namespace, GATEWAY),
                    },
                    "Period": 300,
                    "Stat": statistic,
                },
            }
            for name, (namespace, metric, statistic) in wanted.items()
        ]
        asked = {"MetricDataQueries": queries, "StartTime": START, "EndTime": NOVEMBER.end}
        stub.add_response("get_metric_data", page({}), asked | {"ScanBy": "TimestampAscending"})
        assert requests.history(cloudwatch, START, NOVEMBER.end) == {"availability": {}, "errors": {}, "latency": {}}


def test_an_answer_in_part_is_refused(cloudwatch: Any) -> None:
    """The rest may be the outage."""
    for state in ("PartialData", "InternalError", "Forbidden"):
        with pytest.raises(SearchSyncError, match=state):
            counts(cloudwatch, page({"asked": {at(1): 5.0}}, state=state))


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("Throttling", SearchSyncError, "Run it again later"),
        ("AccessDenied", BadConnection, "Check the address and the role's permissions"),
    ],
)
def test_a_refused_call_is_told(cloudwatch: Any, code: str, error: type[Exception], said: str) -> None:
    with Stubber(cloudwatch) as stub:
        stub.add_response("describe_alarms", ALARMS)
        stub.add_client_error("get_metric_data", code, "no", http_status_code=400)
        with pytest.raises(error, match=said):
            requests.history(cloudwatch, START, NOVEMBER.end)


def test_an_environment_without_a_search_api_is_told(cloudwatch: Any) -> None:
    with Stubber(cloudwatch) as stub:
        stub.add_response("describe_alarms", {"MetricAlarms": ALARMS["MetricAlarms"][1:]})
        with pytest.raises(SearchSyncError, match="no alarm searchsync-api-errors-1h"):
            requests.history(cloudwatch, START, NOVEMBER.end)


Kept = Callable[..., None]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Let CloudWatch and OpenSearch have something; what has no value fails as if it were away."""

    def kept(*, api: Any = None, fresh: Any = None, compared: Any = None) -> None:
        def give(found: Any) -> Callable[..., Any]:
            def answer(*_: Any) -> Any:
                if isinstance(found, Exception):
                    raise found
                return found

            return answer

        monkeypatch.setattr(requests, "history", give({} if api is None else api))
        monkeypatch.setattr(result, "kept", give([] if fresh is None else fresh))
        monkeypatch.setattr(History, "full", give([] if compared is None else compared))

    return kept


def look(now: datetime = NOVEMBER.end) -> Report:
    client: Any = SimpleNamespace(until=lambda _: None)
    return run.run(client, lambda: None, [MEMBERS], NOVEMBER, now=now)


def every(step: timedelta) -> list[datetime]:
    return [START + step * number for number in range((NOVEMBER.end - START) // step)]


def measured(seconds: Callable[[datetime], float]) -> list[Measured]:
    return [Measured("members", MEASURED, time.isoformat(), seconds(time)) for time in every(STEP)]


def compared(differences: dict[int, int], not_looked_at: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "at": at(day, 4, 40).isoformat(),
            "source_documents": 10_000,
            "index_documents": 9_999,
            "confirmed": differences.get(day, 0),
            "not_looked_at": not_looked_at if day in differences else 0,
        }
        for day in range(1, 31)
    ]


def whole(bad: int = 0) -> dict[str, month.Counts]:
    found = dict.fromkeys(every(STEP), (100, bad))
    return {"availability": found, "errors": found, "latency": found}


def states(found: Report) -> dict[str, str]:
    return {one.name: one.budget.state for one in found.judged}


def test_a_good_month_is_met(world: Kept) -> None:
    world(api=whole(), fresh=measured(lambda _: 1.5), compared=compared({}))
    found = look()
    assert states(found) == dict.fromkeys(
        ["availability", "errors", "latency", "freshness of members", "exactness of members"], MET
    )
    assert (found.credit, found.problems, found.is_over) == ((Fraction(0), True), [], True)
    by = {one.name: one.budget for one in found.judged}
    assert by["freshness of members"].total == 30 * 288
    assert by["exactness of members"].total == 300_000


def test_changes_that_are_late_use_the_budget_up(world: Kept) -> None:
    """1 % of 8,640 measurements may be late: 86. A late one is known by how long it was waited for."""
    for late, state in ((86, MET), (87, MISSED)):
        ends = at(3) + STEP * late
        world(fresh=measured(lambda time, ends=ends: 120.0 if at(3) <= time < ends else 60.0))  # type: ignore[misc]
        (found,) = [one for one in look().judged if one.name == "freshness of members"]
        assert (found.budget.bad, found.budget.state) == (late, state)
    assert found.incidents[0].start == at(3)
    failed = replace(measured(lambda _: 1.0)[0], state=LATE, seconds=None)
    world(fresh=[failed] * 9_000)
    assert states(look())["freshness of members"] == UNKNOWN, "what has no figure says nothing"


def test_differences_count_also_when_they_were_too_many_to_look_at(world: Kept) -> None:
    world(compared=compared({4: 20, 9: 10}))
    (found,) = [one for one in look().judged if one.name == "exactness of members"]
    assert (found.budget.bad, found.budget.used, found.budget.state) == (30, Fraction(1), MET)
    assert [(one.start, one.bad) for one in found.incidents] == [(at(4), 20), (at(9), 10)]
    assert found.burnt == (), "days are no windows of minutes"
    world(compared=compared({4: 20}, not_looked_at=20_000))
    (found,) = [one for one in look().judged if one.name == "exactness of members"]
    assert found.budget.bad == 10_000, "no more than there are"


def test_nights_without_a_comparison_are_not_known(world: Kept) -> None:
    world(compared=compared({})[:28])
    assert states(look())["exactness of members"] == UNKNOWN
    uncounted = {"at": at(29, 4, 40).isoformat(), "confirmed": 0, "not_looked_at": 0}
    world(compared=[*compared({})[:28], uncounted])
    assert states(look())["exactness of members"] == UNKNOWN


def test_a_service_that_is_away_is_a_problem_and_hides_no_other(world: Kept) -> None:
    world(api=SearchSyncError("CloudWatch: Throttling"), fresh=measured(lambda _: 1.0), compared=compared({}))
    found = look()
    assert found.problems == ["CloudWatch: Throttling"]
    assert states(found)["availability"] == UNKNOWN
    assert states(found)["freshness of members"] == MET
    assert found.credit == (Fraction(0), False)
    text = "\n".join(report.lines(found))
    assert "availability: not enough data; CloudWatch: Throttling" in text
    assert "Credits: not known" in text

    world(api=whole(), fresh=IndexUnavailable("away"), compared=IndexUnavailable("away"))
    found = look()
    assert found.problems == ["away"], "said once"
    assert states(found)["exactness of members"] == UNKNOWN


def test_nothing_at_all_is_nowhere_called_good(world: Kept, tmp_path: Path) -> None:
    world()
    found = look()
    assert {*states(found).values()} == {UNKNOWN}
    report.write(found, tmp_path)
    figures = json.loads((tmp_path / "slo.json").read_text(encoding="utf-8"))
    assert figures["credit"] is None
    assert {(one["good"], one["budget_left"], one["credit"]) for one in figures["indicators"]} == {(None, None, None)}
    for text in ("\n".join(report.lines(found)), (tmp_path / "summary.html").read_text(encoding="utf-8")):
        assert "100 %" not in text
        assert ": met" not in text


def test_the_page_shows_what_was_missed_first_and_needs_no_network(world: Kept, tmp_path: Path) -> None:
    api = whole()
    api["errors"] = api["errors"] | {at(10) + STEP * number: (100, 100) for number in range(60)}
    world(api=api, fresh=measured(lambda _: 1.0), compared=compared({7: 3}))
    found = look()
    report.write(found, tmp_path)
    page_ = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert page_.index("errors: ") < page_.index("availability: ")
    assert "<svg" in page_
    assert "<script" not in page_
    assert "http" not in page_
    assert "2026-11-10 00:00 to 2026-11-10 05:00 UTC: 6,000 bad events, 100 % of all" in page_
    figures = json.loads((tmp_path / "slo.json").read_text(encoding="utf-8"))
    assert figures["credit"] == 0.05, "99.31 % is below 99.5 and not below 99"
    assert next(one["indicator"] for one in figures["indicators"]) == "errors"
    (first, *_) = report.lines(found)
    assert first == "2026-11"


def test_a_month_that_goes_on_is_told_so_and_its_rest_is_no_gap(world: Kept) -> None:
    world(api=whole(), fresh=measured(lambda _: 1.0), compared=compared({}))
    found = look(now=at(15, 12, 2))
    assert not found.is_over
    assert report.title(found) == "2026-11 until 2026-11-15 12:02 UTC"
    by = {one.name: one.budget for one in found.judged}
    assert (by["availability"].known, by["availability"].state) == (Fraction(1), MET)
    assert by["availability"].total == (14 * 288 + 144) * 100, "the slot that goes on does not count"
    with pytest.raises(BadParams, match="2026-11 has not begun"):
        look(now=at(31, 23, month=10))


def test_a_text_that_is_no_month_is_refused() -> None:
    for text in ("2026-13", "november", "2026-1", "0000-01"):
        with pytest.raises(BadParams, match="write it as 2026-11"):
            month.of(text, policy.read().zone)


def test_a_share_is_cut_and_not_rounded() -> None:
    """99.9499 % must not be told as the 99.95 % that it misses."""
    assert policy.percent(Fraction(999499, 1_000_000), 2) == "99.94 %"
    assert [policy.percent(Fraction(text)) for text in ("1", "0", "1/3", "0.9995")] == [
        "100 %", "0 %", "33.333 %", "99.95 %",
    ]  # fmt: skip
