"""AWS in this process, with a function that has two versions, and services."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from moto import mock_aws

from local.deployment import services
from local.deployment.target import clients

REGION = "eu-west-1"
IMAGES = {"old": "repository@sha256:" + "a" * 64, "new": "repository@sha256:" + "b" * 64}


@pytest.fixture(scope="session")
def descriptions() -> botocore.session.Session:
    """It keeps the descriptions of services, whose reading is what takes the time."""
    return botocore.session.Session()


@pytest.fixture
def session(descriptions: botocore.session.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "1")
    with mock_aws():
        yield boto3.Session(region_name=REGION, botocore_session=descriptions)


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


@pytest.fixture
def cluster(session: boto3.Session, aws: dict[str, Any]) -> dict[str, Any]:
    """The services, each with its first task definition, and the task that migrates Airflow's database."""
    subnet = session.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": []}}
    aws["ecs"].create_cluster(clusterName=services.CLUSTER)
    for family in (services.SCHEDULER, "search-api", services.MIGRATION):
        define(aws, family, IMAGES["old"])
    for name in (services.SCHEDULER, "search-api"):
        aws["ecs"].create_service(
            cluster=services.CLUSTER,
            serviceName=name,
            taskDefinition=name,
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=network,
        )
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
