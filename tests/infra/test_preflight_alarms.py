"""The preflight holds each alarm of CloudWatch against its row: one with other numbers tells too late, or nobody."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from searchsync.catalog import DEFAULT_CONNECTION
from searchsync.preflight import alarms
from searchsync.preflight.checks import Outcome, Result
from searchsync.preflight.target import Target
from tests.infra.plans import REGION, Planned

ENVIRONMENT = "production"


@pytest.fixture(scope="module")
def made(planned: Callable[[str], Planned]) -> dict[str, dict[str, Any]]:
    """The alarms that Terraform plans, as CloudWatch describes them, by name."""
    plan = planned(ENVIRONMENT)
    found = {one["alarm_name"]: _described(one) for one in plan.of(".aws_cloudwatch_metric_alarm.").values()}
    for one in plan.of(".aws_cloudwatch_composite_alarm.").values():
        found[one["alarm_name"]] = _told(one) | {"AlarmRule": one["alarm_rule"]}
    return found


def _told(alarm: Any) -> dict[str, Any]:
    return {
        "AlarmName": alarm["alarm_name"],
        "ActionsEnabled": True,
        "AlarmActions": alarm["alarm_actions"] or [],
        "OKActions": alarm["ok_actions"] or [],
    }


def _described(alarm: Any) -> dict[str, Any]:
    described = _told(alarm) | {
        "ComparisonOperator": alarm["comparison_operator"],
        "Threshold": float(alarm["threshold"]),
        "EvaluationPeriods": alarm["evaluation_periods"],
        "DatapointsToAlarm": alarm["datapoints_to_alarm"],
        "TreatMissingData": alarm["treat_missing_data"],
    }
    if not alarm["metric_query"]:
        return described | {"Period": alarm["period"], "MetricName": alarm["metric_name"]}
    stats = [
        {"MetricStat": {"Metric": {"MetricName": metric["metric_name"]}, "Period": metric["period"], "Stat": "Sum"}}
        for query in alarm["metric_query"]
        for metric in query["metric"]
    ]
    return described | {"Metrics": [{"Id": f"m{at}"} | one for at, one in enumerate(stats)] + [{"Id": "value"}]}


def look(alarms_there: dict[str, dict[str, Any]]) -> Result:
    """What the preflight says of these alarms.

    botocore checks that CloudWatch can answer so. moto has no composite alarms.
    """
    client = boto3.client(
        "cloudwatch", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    target = Target(None, ENVIRONMENT)  # type: ignore[arg-type]
    target._clients[DEFAULT_CONNECTION["dynamodb"], "cloudwatch"] = client
    composite = [one for one in alarms_there.values() if "AlarmRule" in one]
    metric = [one for one in alarms_there.values() if "AlarmRule" not in one]
    asked = {"AlarmNamePrefix": "searchsync-", "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    with Stubber(client) as stub:
        pages = {"MetricAlarms": metric[:100], "NextToken": "more"}, {"MetricAlarms": metric[100:]}
        stub.add_response("describe_alarms", pages[0], asked)
        stub.add_response("describe_alarms", pages[1] | {"CompositeAlarms": composite}, asked | {"NextToken": "more"})
        (check,) = alarms.checks(target)
        return check.run()


def test_what_terraform_makes_is_what_the_table_says(made: dict[str, dict[str, Any]]) -> None:
    result = look(made)
    assert (result.outcome, result.seen) == (Outcome.PASSED, f"{len(made)} alarms")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("dead-letters-many-members", {"Threshold": 5000.0}, "threshold is 5000.0 instead of 500.0"),
        ("cluster-red", {"ComparisonOperator": "GreaterThanThreshold"}, "comparison is 'GreaterThanThreshold' inst"),
        ("cluster-silent", {"TreatMissingData": "notBreaching"}, "missing data is 'notBreaching' instead of"),
        ("stream-behind-members", {"EvaluationPeriods": 50, "DatapointsToAlarm": 50}, "seconds is 3000 instead of 300"),
        ("cluster-red", {"ActionsEnabled": False}, "switched on is False instead of True"),
        ("cluster-away", {"AlarmActions": []}, "topics told is [] instead of ['searchsync-p0']"),
        ("api-budget-fast", {"OKActions": []}, "topics told when it is over is [] instead of ['searchsync-p0']"),
        ("cluster-disk", {"Threshold": 1.0}, "threshold is 1.0 instead of 25600.0"),
        ("api-errors-1h", {"Threshold": 1.0}, "threshold is 1.0 instead of 0.7"),
        ("service-memory-searchsync-search-api", {"Threshold": 99.0}, "threshold is 99.0 instead of 90.0"),
    ],
)
def test_other_numbers_are_told(made: dict[str, dict[str, Any]], name: str, change: dict[str, Any], said: str) -> None:
    name = f"searchsync-{name}"
    result = look(made | {name: made[name] | change})
    assert result.outcome is Outcome.FAILED
    assert result.seen.startswith(f"{name}: {said}")
    assert "; " not in result.seen, "nothing else is wrong"


@pytest.mark.parametrize(
    "name", ["cluster-red", "documents-late-members", "documents-old-locations", "cluster-away", "api-budget-fast"]
)
def test_an_alarm_that_is_missing_is_told(made: dict[str, dict[str, Any]], name: str) -> None:
    there = {other: alarm for other, alarm in made.items() if other != f"searchsync-{name}"}
    assert look(there).seen == f"searchsync-{name} is missing"


def test_all_alarms_of_a_row_that_are_missing_are_told(made: dict[str, dict[str, Any]]) -> None:
    """Of nodes and services nobody but Terraform knows the names: that there is none is seen."""
    there = {name: alarm for name, alarm in made.items() if not name.startswith("searchsync-service-memory-")}
    assert len(there) < len(made)
    assert look(there).seen == "searchsync-service-memory-... is missing"


def test_an_alarm_that_the_table_does_not_have_is_told(made: dict[str, dict[str, Any]]) -> None:
    """Its runbook is not there any more, and who it wakes does not know what it means."""
    other = made["searchsync-cluster-red"] | {"AlarmName": "searchsync-cluster-purple"}
    assert look(made | {"searchsync-cluster-purple": other}).seen == "searchsync-cluster-purple is not in the table"
