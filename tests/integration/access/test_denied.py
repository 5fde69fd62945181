"""Whoever has the keys of one part may not do what another does: the emulator refuses it, by action and by resource."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from searchsync.access.roles import rendered
from searchsync.catalog import CATALOG
from tests.integration.access.emulator import ACCOUNT, EXPORTS, PLACE, RECORDS, REGION, Emulator, running

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/members"
QUEUES = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
ENTITIES = [*CATALOG.values()]
ROLES = rendered(PLACE, ENTITIES)
PARTS = ["searchsync-stream-members", "searchsync-airflow-task", "searchsync-search-api-task", "searchsync-snapshot"]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    record: Path = tmp_path_factory.mktemp("iam") / "calls.jsonl"
    with running(record, ENTITIES) as emulator:
        emulator.client("sqs").create_queue(QueueName="orders-dlq")
        emulator.client("dynamodb").create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield emulator


def _queue(name: str, call: Callable[[Any, str], Any]) -> Callable[[Any, Emulator], Any]:
    return lambda ask, emulator: call(ask("sqs"), emulator.queue(name))


def _send(sqs: Any, url: str) -> Any:
    return sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])


def _metrics(ask: Any, _: Emulator) -> Any:
    now, queue = datetime.now(UTC), {"Name": "QueueName", "Value": "members-dlq"}
    return ask("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[queue],
        StartTime=now,
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )


def _figures(ask: Any, _: Emulator) -> Any:
    metric = {"Namespace": "AWS/ApiGateway", "MetricName": "Count", "Dimensions": []}
    query = {"Id": "asked", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Sum"}}
    now = datetime.now(UTC)
    return ask("cloudwatch").get_metric_data(MetricDataQueries=[query], StartTime=now - timedelta(hours=1), EndTime=now)


TRIED: dict[tuple[str, str], Callable[[Any, Emulator], Any]] = {
    ("dynamodb:Scan", TABLE): lambda ask, _: ask("dynamodb").scan(TableName="members"),
    ("dynamodb:Scan", TABLE.replace("members", "orders")): lambda ask, _: ask("dynamodb").scan(TableName="orders"),
    ("dynamodb:PutItem", TABLE): lambda ask, _: ask("dynamodb").put_item(
        TableName="members", Item={"member_id": {"S": "m-1"}}
    ),
    ("dynamodb:DeleteItem", TABLE): lambda ask, _: ask("dynamodb").delete_item(
        TableName="members", Key={"member_id": {"S": "m-1"}}
    ),
    ("dynamodb:DeleteTable", TABLE): lambda ask, _: ask("dynamodb").delete_table(TableName="members"),
    ("dynamodb:ListStreams", "*"): lambda ask, _: ask("dynamodbstreams").list_streams(),
    ("dynamodb:DescribeStream", f"{TABLE}/stream/x"): lambda ask, _: ask("dynamodbstreams").describe_stream(
        StreamArn=f"{TABLE}/stream/2026-01-01T00:00:00.000"
    ),
    ("dynamodb:ExportTableToPointInTime", TABLE): lambda ask, _: ask("dynamodb").export_table_to_point_in_time(
        TableArn=TABLE, S3Bucket=EXPORTS
    ),
    ("sqs:SendMessage", f"{QUEUES}:members-dlq"): _queue("members-dlq", _send),
    ("sqs:SendMessage", f"{QUEUES}:members-parked"): _queue("members-parked", _send),
    ("sqs:SendMessage", f"{QUEUES}:orders-dlq"): _queue("orders-dlq", _send),
    ("sqs:ReceiveMessage", f"{QUEUES}:members-dlq"): _queue(
        "members-dlq", lambda sqs, url: sqs.receive_message(QueueUrl=url)
    ),
    ("sqs:PurgeQueue", f"{QUEUES}:members-dlq"): _queue("members-dlq", lambda sqs, url: sqs.purge_queue(QueueUrl=url)),
    ("cloudwatch:GetMetricStatistics", "*"): _metrics,
    ("cloudwatch:GetMetricData", "*"): _figures,
    ("s3:GetObject", f"arn:aws:s3:::{EXPORTS}/members/x"): lambda ask, _: ask("s3").get_object(
        Bucket=EXPORTS, Key="members/x"
    ),
    ("s3:GetObject", f"arn:aws:s3:::{RECORDS}/aws/lambda/x"): lambda ask, _: ask("s3").get_object(
        Bucket=RECORDS, Key="aws/lambda/x"
    ),
    ("s3:GetObject", f"arn:aws:s3:::{RECORDS}/other"): lambda ask, _: ask("s3").get_object(Bucket=RECORDS, Key="other"),
    ("s3:ListBucket", f"arn:aws:s3:::{RECORDS}"): lambda ask, _: ask("s3").list_objects_v2(Bucket=RECORDS),
    ("s3:ListBucket", f"arn:aws:s3:::searchsync-snapshots-{ACCOUNT}"): lambda ask, _: ask("s3").list_objects_v2(
        Bucket=f"searchsync-snapshots-{ACCOUNT}"
    ),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/other"): lambda ask, _: ask("iam").create_role(
        RoleName="other", AssumeRolePolicyDocument="{}"
    ),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/searchsync-deploy"): lambda ask, _: ask("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/searchsync-deploy", RoleSessionName="test"
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_may_do_what_is_its_own_and_is_denied_what_is_not(emulator: Emulator, name: str) -> None:
    session = emulator.session(name)

    def ask(service: str) -> Any:
        return emulator.client(service, session)

    allowed = {asked for asked, call in TRIED.items() if _is_allowed(call, ask, emulator)}
    granted = {
        (call, arn)
        for call, arn in TRIED
        for grant in ROLES[name].grants
        if not grant.deny and call in grant.calls and any(fnmatchcase(arn, one) for one in grant.resources)
        if "dynamodb:LeadingKeys" not in str(grant.when)  # of another item than the ones that are tried here
    }
    assert allowed == granted


def test_the_heartbeat_is_the_only_item_that_the_dags_may_write(emulator: Emulator) -> None:
    """They read the tables of applications, and a fault of theirs must not reach a row of these."""
    dynamodb = emulator.client("dynamodb", emulator.session("searchsync-airflow-task"))
    dynamodb.put_item(TableName="members", Item={"member_id": {"S": "searchsync-heartbeat"}})
    dynamodb.delete_item(TableName="members", Key={"member_id": {"S": "searchsync-heartbeat"}})
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.put_item(TableName="members", Item={"member_id": {"S": "m-1"}})
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.delete_item(TableName="members", Key={"member_id": {"S": "m-1"}})


def _is_allowed(call: Callable[[Any, Emulator], Any], ask: Callable[[str], Any], emulator: Emulator) -> bool:
    """Whether the emulator lets a call pass; what it is about need not be there."""
    try:
        call(ask, emulator)
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] != 403)
    return True
