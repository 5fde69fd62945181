"""The series as CloudWatch has them: of the right version, minute by minute, and nothing invented."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from searchsync.canary.cloudwatch import Window, read
from searchsync.canary.policy import policy
from searchsync.canary.run import Question, answer
from searchsync.errors import BadParams, SearchSyncError

POLICY = policy()
FUNCTION = POLICY.subject("function")
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
MINUTES = 13
SINCE = NOW - timedelta(minutes=60)
NAMES = ({"entity": "members", "version": "1"}, {"entity": "members", "version": "2"})
WINDOW = Window(SINCE, SINCE + timedelta(minutes=MINUTES), None, NAMES)
BALANCER = "app/searchsync-search-api/1"
MAIN, BESIDE = "targetgroup/searchsync-search-api/2", "targetgroup/searchsync-search-api-canary/3"


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="eu-west-1")


def put(cloudwatch: Any, name: str, namespace: str, dimensions: dict[str, str], at: datetime, *values: float) -> None:
    cloudwatch.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                "Timestamp": at + timedelta(minutes=minute),
                "Value": value,
            }
            for minute, value in enumerate(values)
        ],
    )


def function(cloudwatch: Any, version: str | None, at: datetime, *, errors: int = 0) -> None:
    """What a version of the function leaves there in each minute.

    :param version: None for what AWS keeps of the alias without weights
    """
    alias = {"FunctionName": "members-stream", "Resource": "members-stream:live"}
    of = alias | ({"ExecutedVersion": version} if version else {})
    for name, value in (("Invocations", 30), ("Errors", errors), ("Duration", 120)):
        put(cloudwatch, name, "AWS/Lambda", of, at, *([value] * MINUTES))


def own(cloudwatch: Any, version: str, at: datetime, *, parked: int = 0) -> None:
    of = {"Entity": "members", "Version": version}
    for name, value in (("Records", 100), ("Parked", parked), ("Unacknowledged", 0)):
        put(cloudwatch, name, "SearchSync", of, at, *([value] * MINUTES))


def question(share: int, **others: str) -> Question:
    times = {"since": WINDOW.since.isoformat(), "until": WINDOW.until.isoformat()}
    return Question("function", share, "abc", "1", "2", entity="members", **{**times, **others})


@pytest.mark.parametrize(("parked", "verdict"), [(0, "pass"), (50, "fail")])
def test_two_versions_beside_each_other(cloudwatch: Any, parked: int, verdict: str) -> None:
    """A version that parks what the other one writes raises no error of Lambda's: it is seen by our own metric."""
    for version in "12":
        function(cloudwatch, version, SINCE)
        own(cloudwatch, version, SINCE, parked=parked if version == "2" else 0)
    found, series = answer(question(10), lambda: cloudwatch)
    assert (found.verdict, len(series["errors"].canary)) == (verdict, MINUTES)


def test_the_old_version_is_that_of_before_at_the_last_stage(cloudwatch: Any) -> None:
    """AWS counts by version only while two have a share."""
    before = SINCE - timedelta(minutes=45)
    for at, version, errors in ((before - timedelta(minutes=MINUTES), "1", 0), (SINCE, "2", 20)):
        function(cloudwatch, None, at, errors=errors)
        own(cloudwatch, version, at)
    found, series = answer(question(100, before=before.isoformat()), lambda: cloudwatch)
    assert found.verdict == "fail"
    assert (set(series["errors"].baseline.values()), set(series["errors"].canary.values())) == ({0.0}, {20.0})
    assert [*series["errors"].baseline][-1] < before.timestamp()


def test_what_cloudwatch_does_not_have_is_not_known_and_no_pass(cloudwatch: Any) -> None:
    for version in "12":
        function(cloudwatch, version, SINCE)
    series = read(cloudwatch, POLICY, FUNCTION, POLICY.stage(10), WINDOW)
    assert set(series["parked"].canary.values()) == {None}
    found, _ = answer(question(10), lambda: cloudwatch)
    assert found.verdict == "inconclusive"
    assert "parked: in 0 minutes both sides have records" in found.why


def test_a_part_of_a_minute_is_none(cloudwatch: Any) -> None:
    """The first minute had both shares, and the last one is not over."""
    late = replace(WINDOW, since=SINCE + timedelta(seconds=30), until=SINCE + timedelta(minutes=3, seconds=30))
    series = read(cloudwatch, POLICY, FUNCTION, POLICY.stage(10), late)
    first = (SINCE + timedelta(minutes=1)).timestamp()
    assert [*series["errors"].canary] == [first, first + 60]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"entity": ""}, "function needs entity of baseline, or the series"),
        ({"canary": ""}, "function needs version of canary"),
        ({"entity": "clients"}, "clients"),
        ({"canary": "1"}, "both versions are '1': name two"),
        ({"since": ""}, "give the series, or since and until"),
        ({"since": "yesterday"}, "since is 'yesterday'"),
        ({"until": "2026-11-30T10:00:00"}, "need a time zone"),
        ({"until": SINCE.isoformat()}, "are no 1 to 1440 periods"),
        ({"stage": 100}, "name the moment at which the deployment began"),
        ({"stage": 100, "before": NOW.isoformat()}, "name the moment at which the deployment began"),
        ({"stage": 33}, "33 is no stage"),
        ({"subject": "search-api"}, "requests of search-api is not in CloudWatch: give its series"),
        ({"subject": "search-api-ecs"}, "search-api-ecs needs load_balancer, target_group of baseline"),
        ({"names": ["baseline"]}, "names must have baseline and canary"),
        ({"names": {"baseline": {"load_balancer": 1}}}, "names must have baseline and canary"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(cloudwatch: Any, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParams, match=said):
        answer(replace(question(10), **changed), lambda: cloudwatch)


class Percentiles:
    """The emulator, and percentiles, which it does not compute: of one value a minute each is that value."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_metric_statistics(self, **question: Any) -> Any:
        wanted = question.pop("ExtendedStatistics", None)
        if wanted is None:
            return self._client.get_metric_statistics(**question)
        assert "Statistics" not in question, "AWS takes one of them alone"
        found = self._client.get_metric_statistics(**question, Statistics=["Average"])
        for point in found["Datapoints"]:
            point["ExtendedStatistics"] = dict.fromkeys(wanted, point.pop("Average"))
        return found


def group(cloudwatch: Any, name: str, at: datetime, errors: list[int], seconds: float = 0.02, asked: int = 60) -> None:
    """What the load balancer publishes of a target group: no count that is 0."""
    of = {"LoadBalancer": BALANCER, "TargetGroup": name}
    put(cloudwatch, "RequestCount", "AWS/ApplicationELB", of, at, *([asked] * MINUTES))
    put(cloudwatch, "TargetResponseTime", "AWS/ApplicationELB", of, at, *([seconds] * MINUTES))
    for minute, count in enumerate(errors):
        if count:
            put(
                cloudwatch, "HTTPCode_Target_5XX_Count", "AWS/ApplicationELB", of, at + timedelta(minutes=minute), count
            )


def asked(share: int, baseline: str = MAIN, canary: str = BESIDE, **others: str) -> Question:
    names = {
        side: {"load_balancer": BALANCER, "target_group": target}
        for side, target in (("baseline", baseline), ("canary", canary))
    }
    return replace(question(share, **others), subject="search-api-ecs", entity="", names=names)


@pytest.mark.parametrize(
    ("errors", "seconds", "verdict"),
    [
        ([], 0.02, "pass"),
        ([6] * MINUTES, 0.02, "fail"),
        ([0, 0, 60], 0.02, "inconclusive"),
        ([], 0.04, "fail"),
    ],
)
def test_two_target_groups_beside_each_other(cloudwatch: Any, errors: list[int], seconds: float, verdict: str) -> None:
    group(cloudwatch, MAIN, SINCE, [])
    group(cloudwatch, BESIDE, SINCE, errors, seconds)
    found, series = answer(asked(50), lambda: Percentiles(cloudwatch))
    assert found.verdict == verdict, found.why
    assert set(series["errors"].baseline.values()) == {0.0}, "no figure beside requests is none of them"


def test_a_target_group_is_compared_with_itself_of_before(cloudwatch: Any) -> None:
    """At 100 percent the service of before runs the new version."""
    before = SINCE - timedelta(minutes=45)
    group(cloudwatch, MAIN, before - timedelta(minutes=MINUTES), [])
    group(cloudwatch, MAIN, SINCE, [6] * MINUTES)
    found, _ = answer(asked(100, canary=MAIN, before=before.isoformat()), lambda: Percentiles(cloudwatch))
    assert found.verdict == "fail"


def test_a_minute_without_requests_is_no_minute_without_errors(cloudwatch: Any) -> None:
    """Else a version that nobody asks, or a metric that is not there, would pass."""
    group(cloudwatch, MAIN, SINCE, [])
    found, series = answer(asked(50), lambda: Percentiles(cloudwatch))
    assert set(series["errors"].canary.values()) == {None}
    assert (found.verdict, {one.verdict for one in found.findings}) == ("inconclusive", {"inconclusive"})


def test_a_few_requests_without_errors_are_no_pass(cloudwatch: Any) -> None:
    for name in (MAIN, BESIDE):
        group(cloudwatch, name, SINCE, [], asked=20)
    found, _ = answer(asked(50), lambda: Percentiles(cloudwatch))
    assert found.verdict == "inconclusive"
    assert "260 requests are too few to see 1.0%; 300 can" in found.why


def test_a_cloudwatch_that_is_away_is_no_verdict() -> None:
    nobody = boto3.client(
        "cloudwatch", region_name="eu-west-1", endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip
    with pytest.raises(SearchSyncError, match="CloudWatch's metric Invocations does not answer"):
        answer(question(10), lambda: nobody)
