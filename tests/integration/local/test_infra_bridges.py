"""What the emulator of the infrastructure answers where Terraform would wait for ever, or the stream would be lost."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import tables
from local.paths import ROOT

Aws = Callable[[str], Any]


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    """Clients of an emulator with the bridges for Terraform."""
    command = [sys.executable, "-m", "local.aws", "--port", "0", "--infrastructure"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        yield lambda service: tables.client(service, url)
        process.terminate()


def test_a_queue_says_whose_dead_letters_it_takes(aws: Aws) -> None:
    sqs, policy = aws("sqs"), json.dumps({"redrivePermission": "denyAll"})
    url = sqs.create_queue(QueueName="q", Attributes={"RedriveAllowPolicy": policy})["QueueUrl"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["RedriveAllowPolicy"] == policy


def test_a_queue_keeps_its_policy_when_something_else_is_set(aws: Aws) -> None:
    sqs = aws("sqs")
    send = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [send]})
    url = sqs.create_queue(QueueName="kept", Attributes={"Policy": policy})["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (found["Policy"], found["VisibilityTimeout"]) == (policy, "60")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert not sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"].get("Policy")


def test_each_database_is_found_by_its_id(aws: Aws) -> None:
    rds = aws("rds")
    for name in ("one", "two"):
        rds.create_db_instance(DBInstanceIdentifier=name, DBInstanceClass="db.t4g.micro", Engine="postgres")
    ids = {
        found["DBInstanceIdentifier"]: found["DbiResourceId"] for found in rds.describe_db_instances()["DBInstances"]
    }
    assert set(ids) == {"one", "two"}
    assert len(set(ids.values())) == 2


def test_what_is_scaled_has_the_tags_that_it_got(aws: Aws) -> None:
    scaling = aws("application-autoscaling")
    arn = scaling.register_scalable_target(
        ServiceNamespace="dynamodb",
        ResourceId="table/t",
        ScalableDimension="dynamodb:table:ReadCapacityUnits",
        MinCapacity=1,
        MaxCapacity=2,
        Tags={"Project": "searchsync"},
    )["ScalableTargetARN"]
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"Project": "searchsync"}


def test_an_event_source_mapping_leaves_the_stream_alone(aws: Aws) -> None:
    """The emulator would run the function itself, in Docker, and empty the stream that our runner reads."""
    dynamodb, streams = aws("dynamodb"), aws("dynamodbstreams")
    stream = dynamodb.create_table(
        TableName="members",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    _map(aws, stream)
    dynamodb.put_item(TableName="members", Item={"id": {"S": "1"}})
    shard = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    assert len(streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]) == 1


def _map(aws: Aws, stream: str) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    role = aws("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context):\n    raise SystemExit\n")
    function = aws("lambda").create_function(
        FunctionName="f", Runtime="python3.13", Role=role, Handler="handler.handler", Code={"ZipFile": code.getvalue()}
    )
    aws("lambda").create_event_source_mapping(
        EventSourceArn=stream, FunctionName=function["FunctionArn"], StartingPosition="TRIM_HORIZON"
    )
