"""An environment in which all thirty items are proven, for tests to break. Answers of AWS fit botocore's own models."""

import copy
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from botocore.awsrequest import AWSResponse
from botocore.validate import ParamValidator

from searchsync.catalog import CATALOG, include_dir
from searchsync.connections import Connections
from searchsync.preflight import run as preflight
from searchsync.preflight.checks import Outcome, Result
from searchsync.preflight.target import Target
from searchsync.readiness import checklist, of_aws, of_records, run
from searchsync.recovery import records

REPO = Path(__file__).parents[3]
TODAY = datetime.now(UTC).date()
ENVIRONMENT = "production"


def balancer(name: str) -> dict[str, Any]:
    zones = [{"ZoneName": f"eu-west-1{letter}"} for letter in "abc"]
    return {"LoadBalancerName": name, "LoadBalancerArn": f"arn:aws:lb/{name}", "AvailabilityZones": zones}


@cache
def _rows() -> dict[str, Any]:
    text = (REPO / "include" / "policies" / "alarms.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)["alarms"]
    return found


def board(name: str) -> str:
    """A dashboard as Terraform makes it: a chart for each alarm of the board, with its limit, and others."""
    limit = {"horizontal": [{"label": "alarm", "value": 1}]}
    widgets: list[dict[str, Any]] = [{"type": "log", "properties": {"title": f"anything of {name}"}}]
    for row, found in _rows().items():
        if found["board"] == name and ENVIRONMENT in found["environments"]:
            key = f"{row}-members" if "each" in found else row
            widgets.append({"properties": {"title": f"{key}: {found['signal']}", "annotations": limit}})
    return json.dumps({"widgets": widgets})


def watched(names: list[str]) -> dict[str, Any]:
    """What an alarm watches: a metric, or an expression of some."""
    metrics: list[dict[str, Any]] = [{"Namespace": "AWS/Some", "MetricName": name, "Dimensions": []} for name in names]
    if len(metrics) == 1:
        return metrics[0]
    parts = [
        {"Id": metric["MetricName"].lower(), "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Sum"}}
        for metric in metrics
    ]
    return {"Metrics": [*parts, {"Id": "all", "Expression": "IF(0, 1, 2)"}]}


def figures(queries: list[dict[str, Any]], without: str = "") -> dict[str, Any]:
    """What CloudWatch answers: a figure of each metric, but for one."""
    results = [
        {"Id": one["Id"], "Timestamps": [datetime.now(UTC)], "Values": [1.0]}
        if one["MetricStat"]["Metric"]["MetricName"] != without
        else {"Id": one["Id"], "Timestamps": [], "Values": []}
        for one in queries
    ]
    return {"MetricDataResults": results}


def answers() -> dict[str, Any]:
    """What AWS answers, by service and operation. A function is given the parameters."""
    database = {"MultiAZ": True, "StorageEncrypted": True, "PubliclyAccessible": False, "BackupRetentionPeriod": 35}
    cache = {
        "MultiAZ": "enabled", "AutomaticFailover": "enabled",
        "AtRestEncryptionEnabled": True, "TransitEncryptionEnabled": True,
    }  # fmt: skip
    rules = [
        {"Name": "requests-of-an-address", "Action": {"Block": {}}, "Statement": {"RateBasedStatement": {}}},
        *(
            {"Name": name, "OverrideAction": {"None": {}}, "Statement": {"ManagedRuleGroupStatement": {"Name": name}}}
            for name in sorted(of_aws.MANAGED)
        ),
    ]
    groups = ["airflow", "search-api", "edge", "stream-members"]
    return {
        "opensearch.DescribeDomain": {
            "DomainStatus": {
                "ClusterConfig": {
                    "ZoneAwarenessEnabled": True,
                    "ZoneAwarenessConfig": {"AvailabilityZoneCount": 3},
                }
            }
        },
        "rds.DescribeDBInstances": {
            "DBInstances": [{"DBInstanceIdentifier": name, **database} for name in of_aws.DATABASES]
        },
        "elasticache.DescribeReplicationGroups": {
            "ReplicationGroups": [{"ReplicationGroupId": name, **cache} for name in of_aws.CACHES]
        },
        "elbv2.DescribeLoadBalancers": lambda asked: {"LoadBalancers": [balancer(name) for name in asked["Names"]]},
        "elbv2.DescribeTargetGroups": {
            "TargetGroups": [
                {"TargetGroupName": name, "HealthCheckEnabled": True, "HealthCheckPath": "/ready"}
                for name in of_aws.BALANCERS
            ]
        },
        "elbv2.DescribeListeners": {
            "Listeners": [
                {
                    "Protocol": "HTTPS",
                    "Port": 443,
                    "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
                    "DefaultActions": [{"Type": "forward"}],
                },
                {"Protocol": "HTTP", "Port": 80, "DefaultActions": [{"Type": "redirect"}]},
            ]
        },
        "application-autoscaling.DescribeScalingPolicies": {
            "ScalingPolicies": [{"ResourceId": name} for name in of_aws.SCALED]
        },
        "application-autoscaling.DescribeScalableTargets": {
            "ScalableTargets": [{"ResourceId": name, "MinCapacity": 2, "MaxCapacity": 9} for name in of_aws.SCALED]
        },
        "wafv2.GetWebACLForResource": {"WebACL": {"Name": "searchsync", "Rules": rules}},
        "ec2.DescribeVpcs": {"Vpcs": [{"VpcId": "vpc-1"}]},
        "ec2.DescribeSecurityGroups": {
            "SecurityGroups": [
                {
                    "GroupName": "searchsync-airflow-balancer",
                    "IpPermissions": [
                        {"FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.9.0.0/16"}], "Ipv6Ranges": []}
                    ],
                }
            ]
        },
        "cloudwatch.ListMetrics": lambda asked: {
            "Metrics": [{"Namespace": "SearchSync", "MetricName": asked["MetricName"], "Dimensions": []}]
        },
        "cloudwatch.GetMetricData": lambda asked: figures(asked["MetricDataQueries"]),
        "cloudwatch.GetDashboard": lambda asked: {
            "DashboardBody": board(asked["DashboardName"].removeprefix("searchsync-"))
        },
        "cloudwatch.DescribeAlarms": {
            "MetricAlarms": [
                {"AlarmName": f"searchsync-{name}", "StateValue": "OK", **watched(metrics)}
                for name, metrics in (
                    ("api-slow", ["Latency"]),
                    ("api-slower", ["Latency"]),
                    ("cluster-slow", ["SearchLatency"]),
                    ("cache-hits-rare", ["CacheHits", "CacheMisses"]),
                    ("cache-full-searchsync-cache", ["DatabaseMemoryUsagePercentage", "Evictions"]),
                )
            ]
        },
        "logs.DescribeLogGroups": {
            "logGroups": [{"logGroupName": f"/searchsync/{name}", "retentionInDays": 30} for name in groups]
        },
    }


_ANSWERS: dict[str, "World"] = {}
"""The world that answers for a service now: to make a client takes longer than all else of a test."""


@cache
def _client(service: str) -> Any:
    client = boto3.client(service, "eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")
    asked: dict[str, Any] = {}
    events = client.meta.events
    events.register("before-parameter-build", lambda params, model, **_: asked.update({model.name: params}))
    events.register("before-call", lambda model, **_: _ANSWERS[service].answer(service, model, asked[model.name]))
    return client


class World:
    """What can be broken.

    :ivar aws: answers by service and operation
    :ivar lines: of the preflight, by name
    :ivar summary: what is recorded of snapshots and drills
    :ivar built: how many days ago the live index of each entity was built; None for none
    :ivar root: a checkout
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.aws = answers()
        self.lines = {
            name: [Result(name, "one", Outcome.PASSED, "as it should be", "", "")]
            for item in checklist.read().items
            for name in item.preflight
        }
        now = datetime.now(UTC)
        drill = {"state": "good", "why": "", "at": (now - timedelta(days=3)).isoformat()}
        self.summary: dict[str, Any] = {
            "snapshot": {"snapshot": "daily-1"},
            "last_snapshot": {"state": "good"},
            "hours_since_snapshot": 5.0,
            "drills": {name: copy.deepcopy(drill) for name in CATALOG},
        }
        self.built: dict[str, float | None] = dict.fromkeys(CATALOG, 2.0)

    def policy(self, name: str) -> Path:
        return self.root / "include" / "policies" / name

    def target(self) -> Target:
        client: Any = SimpleNamespace(until=lambda _: None)
        return Target(Connections(lambda: client, lambda _: ("", ""), self.client), ENVIRONMENT)

    def look(self, now: datetime | None = None) -> list[Result]:
        return run.run(self.target(), now=now)

    def open(self, now: datetime | None = None) -> set[str]:
        """The items that are open."""
        found = self.look(now)
        assert len(found) == 30
        return set(run.open_items(found))

    def client(self, _: str, service: str) -> Any:
        """A client of AWS that sends nothing."""
        _ANSWERS[service] = self
        return _client(service)

    def answer(self, service: str, model: Any, asked: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
        """The answer to a request, as botocore's own handlers give one."""
        answer = self.aws[f"{service}.{model.name}"]
        if isinstance(answer, Exception):
            raise answer
        answer = answer(asked) if callable(answer) else answer
        assert _unlike(answer, model.output_shape) == [], f"{service}.{model.name}"
        return AWSResponse("", 200, {}, None), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}


def _unlike(answer: Any, shape: Any) -> list[str]:
    """What is not as the model has it; members that the product does not read may be missing."""
    report = ParamValidator().validate(answer, shape).generate_report()
    return [line for line in report.splitlines() if line and not line.startswith("Missing required parameter")]


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a checkout with reports and statements of today, and servers that are as they should be."""
    shutil.copytree(include_dir(), tmp_path / "include")
    (tmp_path / "docs").mkdir()
    shutil.copytree(REPO / "docs" / "operations", tmp_path / "docs" / "operations")
    shutil.copytree(REPO / ".github", tmp_path / ".github")
    (tmp_path / "infra").mkdir()
    shutil.copy(REPO / "infra" / "environments.yaml", tmp_path / "infra")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path / "include"))
    world = World(tmp_path)
    items = checklist.read().items
    for item in items:
        if item.report:
            report(world, item.report, TODAY)
    said = {"date": str(TODAY), "owner": "Ada Lovelace", "says": "I saw it with my own eyes, here."}
    state(world, {item.name: said for item in items if item.statement})
    monkeypatch.setattr(preflight, "run", lambda _: [line for lines in world.lines.values() for line in lines])
    monkeypatch.setattr(records, "summary", lambda _: world.summary)
    monkeypatch.setattr(of_records, "EntityIndexes", lambda _, entity: _indexes(world, entity.name))
    return world


def _indexes(world: World, entity: str) -> Any:
    days = world.built[entity]
    created = datetime.now(UTC) - timedelta(days=days or 0)
    live = None if days is None else f"{entity}-1"
    return SimpleNamespace(live=lambda: live, get=lambda _: SimpleNamespace(created=created))


def report(world: World, page: str, day: date) -> None:
    """Write a page with the day of its last run."""
    path = world.root / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# A report\n\nLast run: {day}, by a test.\n", encoding="utf-8")


def state(world: World, statements: dict[str, dict[str, str]]) -> None:
    """Let people have stated something."""
    world.policy("statements.yaml").write_text(yaml.safe_dump({"statements": statements}), encoding="utf-8")


Break = Callable[[World], Any]
"""Turns one thing bad."""
