"""A new version gets events by and by, and none any more when an alarm fires."""

from collections.abc import Callable
from typing import Any

import pytest

from local.deployment import functions
from local.deployment.functions import ALIAS
from local.deployment.shares import AlarmFired, Shares
from local.errors import LocalError
from tests.unit.local.deployment.conftest import alarm, package

Shift = Callable[[dict[str, str]], dict[str, str]]


class Noted:
    """A client that notes what the alias is set to, and lets something happen after a share."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.seen: list[tuple[str, dict[str, float]]] = []
        self.after: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def update_alias(self, **arguments: Any) -> Any:
        answer = self._client.update_alias(**arguments)
        self.seen.append((arguments["FunctionVersion"], arguments["RoutingConfig"]["AdditionalVersionWeights"]))
        self.after.get(len(self.seen), lambda: None)()
        return answer


@pytest.fixture
def noted(aws: dict[str, Any], function: str) -> Noted:
    alarm(aws, "searchsync-members-errors")
    return Noted(aws["lambda"])


@pytest.fixture
def shift(aws: dict[str, Any], noted: Noted) -> Shift:
    shares = Shares(aws["cloudwatch"], 0.0, lambda _: None)
    return lambda before: functions.to_newest(noted, shares, before)


def routed(aws: dict[str, Any], function: str) -> tuple[str, dict[str, float]]:
    alias = aws["lambda"].get_alias(FunctionName=function, Name=ALIAS)
    return alias["FunctionVersion"], (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {})


def test_a_tenth_then_half_then_all(aws: dict[str, Any], function: str, noted: Noted, shift: Shift) -> None:
    assert shift({function: "1"}) == {function: "2"}
    assert noted.seen == [("1", {"2": 0.1}), ("1", {"2": 0.5}), ("2", {})]
    assert routed(aws, function) == ("2", {})
    noted.seen.clear()
    assert shift({function: "2"}) == {function: "2"}
    assert noted.seen == [("2", {})], "the second time changes nothing"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_alarm_takes_the_version_back(
    aws: dict[str, Any], function: str, noted: Noted, shift: Shift, at: int
) -> None:
    noted.after[at] = lambda: alarm(aws, "searchsync-members-errors", state="ALARM")
    share = ("10%", "50%", "100%")[at - 1]
    with pytest.raises(AlarmFired, match=rf"members-stream: the newest version got {share} .*members-errors is ALARM"):
        shift({function: "1"})
    assert routed(aws, function) == ("1", {})
    assert len(noted.seen) == at + 1


def test_any_alarm_of_the_product_counts_and_only_new_ones(
    aws: dict[str, Any], function: str, noted: Noted, shift: Shift
) -> None:
    """An incident that is going on must not stop the deployment that ends it."""
    alarm(aws, "searchsync-search-api-errors", function="other", state="ALARM")
    alarm(aws, "of-somebody-else", function="other")
    noted.after[1] = lambda: alarm(aws, "of-somebody-else", function="other", state="ALARM")
    assert shift({function: "1"}) == {function: "2"}
    functions.put(aws["lambda"], function, "1")
    noted.seen.clear()
    noted.after[1] = lambda: alarm(aws, "searchsync-queue-age", function="other", state="ALARM")
    with pytest.raises(AlarmFired, match="searchsync-queue-age"):
        shift({function: "1"})
    assert routed(aws, function) == ("1", {})


def test_an_interruption_takes_the_version_back(aws: dict[str, Any], function: str, noted: Noted, shift: Shift) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    noted.after[2] = interrupt
    with pytest.raises(KeyboardInterrupt):
        shift({function: "1"})
    assert routed(aws, function) == ("1", {})


def test_a_share_that_a_killed_deployment_left_is_taken_away(aws: dict[str, Any], function: str, shift: Shift) -> None:
    functions.put(aws["lambda"], function, "2", {"1": 0.5})
    assert shift({function: "2"}) == {function: "2"}
    assert routed(aws, function) == ("2", {})


def test_a_function_that_no_alarm_watches_is_not_shifted(aws: dict[str, Any], function: str) -> None:
    alarm(aws, "searchsync-other", function="other")
    with pytest.raises(LocalError, match=r"no alarm watches members-stream.*versions of before still get all events"):
        functions.to_newest(aws["lambda"], Shares(aws["cloudwatch"], 0.0, lambda _: None), {function: "1"})
    assert routed(aws, function) == ("1", {})


def test_functions_go_and_come_back_together(aws: dict[str, Any], function: str, noted: Noted, shift: Shift) -> None:
    """Two entities of one table must not be written by two commits."""
    other = "orders-stream"
    role = aws["lambda"].get_function(FunctionName=function)["Configuration"]["Role"]
    code = {"ZipFile": package("1")}
    made = {"Runtime": "python3.13", "Role": role, "Handler": "handler.handler", "Code": code, "Publish": True}
    aws["lambda"].create_function(FunctionName=other, **made)
    aws["lambda"].create_alias(FunctionName=other, Name=ALIAS, FunctionVersion="1")
    aws["lambda"].update_function_code(FunctionName=other, ZipFile=package("2"), Publish=True)
    before = {function: "1", other: "1"}
    with pytest.raises(LocalError, match="no alarm watches orders-stream"):
        shift(before)
    assert noted.seen == [], "none of them was shifted"
    alarm(aws, "searchsync-orders-errors", function=other)
    noted.after[4] = lambda: alarm(aws, "searchsync-orders-errors", function=other, state="ALARM")
    with pytest.raises(AlarmFired, match="members-stream, orders-stream: the newest version got 50%"):
        shift(before)
    assert [routed(aws, name) for name in before] == [("1", {})] * 2


def test_an_alarm_on_a_calculation_watches_its_functions(aws: dict[str, Any], function: str, shift: Shift) -> None:
    aws["cloudwatch"].delete_alarms(AlarmNames=["searchsync-members-errors"])
    metric = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Errors",
        "Dimensions": [{"Name": "FunctionName", "Value": function}],
    }
    aws["cloudwatch"].put_metric_alarm(
        AlarmName="searchsync-members-rate",
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Metrics=[
            {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
            {"Id": "e", "Expression": "m * 100", "ReturnData": True},
        ],
    )
    assert shift({function: "1"}) == {function: "2"}
