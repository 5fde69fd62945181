"""AWS in this process, with a function that has two versions, and services."""

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.deployment import services
from local.deployment.judge import Shared
from local.deployment.target import clients

REGION = "eu-west-1"
IMAGES = {"old": "repository@sha256:" + "a" * 64, "new": "repository@sha256:" + "b" * 64}


@pytest.fixture(scope="session")
def kept() -> boto3.Session:
    """The one session of all tests: it keeps the descriptions of services, whose reading is what takes the time.

    A second one on the same descriptions would add boto3's own methods to S3's client once more, which it refuses.
    """
    return boto3.Session(region_name=REGION)


@pytest.fixture
def session(kept: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "1")
    with mock_aws():
        yield kept


@pytest.fixture
def aws(session: boto3.Session) -> dict[str, Any]:
    return clients(session)


def package(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("handler.py", text)
    return file.getvalue()


@pytest.fixture
def function(session: boto3.Session, aws: dict[str, Any]) -> str:
    """A function whose version 1 gets all events, and version 2 none."""
    name = "members-stream"
    role = session.client("iam").create_role(RoleName="x", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    aws["lambda"].create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": package("1")},
        Publish=True,
    )
    aws["lambda"].create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    aws["lambda"].update_function_code(FunctionName=name, ZipFile=package("2"), Publish=True)
    return name


class Ecs:
    """The emulator of ECS, which starts no task: this one does, and the load balancer finds each of them healthy.

    :ivar bad: task definitions whose tasks do not become healthy; `seen`: what services were set to, by name
    :ivar before: is called with the name of a service and what it is to be set to
    """

    def __init__(self, client: Any, balancers: Any) -> None:
        self._client, self._balancers = client, balancers
        self.bad: set[str] = set()
        self.failed: set[str] = set()
        self.seen: list[tuple[str, str, int]] = []
        self.before: Callable[[str, dict[str, Any]], None] = lambda *_: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_services(self, **question: Any) -> Any:
        answer = self._client.describe_services(**question)
        for service in answer["services"]:
            (deployment,) = service["deployments"]
            state = "FAILED" if service["serviceName"] in self.failed else "COMPLETED"
            deployment |= {"taskDefinition": service["taskDefinition"], "rolloutState": state}
        return answer

    def update_service(self, **change: Any) -> Any:
        name = change["service"]
        self.before(name, change)
        answer = self._client.update_service(**change)["service"]
        if answer["taskDefinition"] in self.bad and answer["desiredCount"]:
            self.failed.add(name)
        elif change.get("forceNewDeployment") or "taskDefinition" in change:
            self.failed.discard(name)
        if name in (services.SEARCH_API, services.CANARY):
            self.seen.append((name, answer["taskDefinition"].rpartition(":")[2], answer["desiredCount"]))
            self.start(name, 0 if name in self.failed else answer["desiredCount"])
        return {"service": answer}

    def start(self, name: str, tasks: int) -> None:
        (group,) = self._balancers.describe_target_groups(Names=[name])["TargetGroups"]
        arn = group["TargetGroupArn"]
        health = self._balancers.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        if gone := [{"Id": one["Target"]["Id"]} for one in health]:
            self._balancers.deregister_targets(TargetGroupArn=arn, Targets=gone)
        if tasks:
            targets = [{"Id": f"10.0.0.{number}", "Port": 8080} for number in range(1, tasks + 1)]
            self._balancers.register_targets(TargetGroupArn=arn, Targets=targets)


class Says:
    """A judge that says at each share what it was told to."""

    def __init__(self, *verdicts: str) -> None:
        self.verdicts = [*verdicts]
        self.asked: list[Shared] = []

    def verdict(self, shared: Shared) -> tuple[str, str]:
        self.asked.append(shared)
        return self.verdicts[len(self.asked) - 1], "because"


def balance(session: boto3.Session, aws: dict[str, Any]) -> None:
    """Make the load balancer of the search API, as infra/modules/edge does."""
    balancers, ec2 = aws["elbv2"], session.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"][:2]
    made = balancers.create_load_balancer(Name=services.SEARCH_API, Subnets=[one["SubnetId"] for one in subnets])
    groups = [
        balancers.create_target_group(
            Name=name, Protocol="HTTP", Port=8080, TargetType="ip", VpcId=subnets[0]["VpcId"]
        )["TargetGroups"][0]["TargetGroupArn"]
        for name in (services.SEARCH_API, services.CANARY)
    ]
    listener = balancers.create_listener(
        LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=443,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": groups[0]}],
    )["Listeners"][0]["ListenerArn"]
    weights = [{"TargetGroupArn": group, "Weight": weight} for group, weight in zip(groups, (100, 0), strict=True)]
    balancers.create_rule(
        ListenerArn=listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["*"]}],
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}],
    )


@pytest.fixture
def cluster(session: boto3.Session, aws: dict[str, Any]) -> dict[str, Any]:
    """The services, each with its first task definition, and the task that migrates Airflow's database."""
    subnet = session.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": []}}
    aws["ecs"].create_cluster(clusterName=services.CLUSTER)
    for family in (services.SCHEDULER, services.SEARCH_API, services.MIGRATION):
        define(aws, family, IMAGES["old"])
    for name, family, tasks in (
        (services.SCHEDULER, services.SCHEDULER, 1),
        (services.SEARCH_API, services.SEARCH_API, 3),
        (services.CANARY, services.SEARCH_API, 0),
    ):
        aws["ecs"].create_service(
            cluster=services.CLUSTER,
            serviceName=name,
            taskDefinition=family,
            desiredCount=tasks,
            launchType="FARGATE",
            networkConfiguration=network,
        )
    aws["application-autoscaling"].register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=f"service/{services.CLUSTER}/{services.SEARCH_API}",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=3,
        MaxCapacity=30,
    )
    balance(session, aws)
    aws["ecs"] = Ecs(aws["ecs"], aws["elbv2"])
    aws["ecs"].start(services.SEARCH_API, 3)
    return aws


def define(aws: dict[str, Any], family: str, image: str) -> str:
    """Register a task definition, with a container beside its own one. Return its ARN."""
    containers = [{"name": "collector", "image": "collector"}, {"name": family, "image": image}]
    made = aws["ecs"].register_task_definition(
        family=family,
        containerDefinitions=containers,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
    )
    arn: str = made["taskDefinition"]["taskDefinitionArn"]
    return arn


def alarm(aws: dict[str, Any], name: str, function: str = "members-stream", state: str = "OK") -> None:
    aws["cloudwatch"].put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        Statistic="Sum",
    )
    aws["cloudwatch"].set_alarm_state(AlarmName=name, StateValue=state, StateReason=f"{name} is {state}")
