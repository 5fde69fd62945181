"""The local table is that of the deployment, and its members are the same on every machine."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from local import members, tables

ROOT = Path(__file__).parents[3]
TABLE = members.ENTITY.table


@pytest.fixture
def endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "local.aws", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


def items(endpoint: str) -> list[dict[str, Any]]:
    pages = tables.client("dynamodb", endpoint).get_paginator("scan").paginate(TableName=TABLE)
    return sorted((item for page in pages for item in page["Items"]), key=lambda item: str(item["member_id"]))


def test_table_and_queue_are_those_of_the_settings(endpoint: str) -> None:
    """What works here would fail on AWS: another key, no expiry, a queue that forgets after four days."""
    members.create(endpoint)
    stream = tables.stream_arn(members.ENTITY, endpoint)
    members.create(endpoint)
    assert tables.stream_arn(members.ENTITY, endpoint) == stream, "a second start must not make another stream"
    dynamodb, sqs = tables.client("dynamodb", endpoint), tables.client("sqs", endpoint)
    table = dynamodb.describe_table(TableName="members")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "member_id", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    expiry = dynamodb.describe_time_to_live(TableName="members")["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    for url in tables.queues(members.ENTITY, endpoint).values():
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert (queue["MessageRetentionPeriod"], queue["VisibilityTimeout"]) == ("1209600", "300")
    assert stream == table["LatestStreamArn"]


def test_queues_are_where_they_were_said_to_be(endpoint: str) -> None:
    """Airflow starts before they are made, and its replay would look for messages in others."""
    members.create(endpoint)
    sqs = tables.client("sqs", endpoint)
    found = [sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("members-dlq", "members-parked")]
    assert list(tables.queues(members.ENTITY, endpoint).values()) == found


def test_members_are_loaded_once(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `./dev up` would undo the changes that a person made to the table, and stream all of it again."""
    monkeypatch.setattr(members, "SAMPLE_MEMBERS", 60)
    assert members.load(endpoint) == 60
    dynamodb = tables.client("dynamodb", endpoint)
    dynamodb.delete_item(TableName=TABLE, Key={"member_id": {"S": "m-0000007"}})
    assert members.load(endpoint) == 0
    assert len(items(endpoint)) == 59


def test_the_same_seed_gives_the_same_members(endpoint: str) -> None:
    """A figure or a failure of one machine could not be repeated on another."""
    members.create(endpoint)
    dynamodb = tables.client("dynamodb", endpoint)
    assert members.generate(dynamodb, 130, seed=7) == 130
    first = items(endpoint)
    assert [item["member_id"]["S"] for item in first] == [f"m-{number:07d}" for number in range(1, 131)]
    assert first == list(members.sample(130, 7))
    members.generate(dynamodb, 130, seed=8)
    assert items(endpoint) != first
    members.generate(dynamodb, 130, seed=7)
    assert items(endpoint) == first


def test_members_are_as_varied_as_real_ones() -> None:
    """Mappings, decoding and expiry would only ever meet the plainest member."""
    found = list(members.sample(2_000, 1))
    assert {len(item["skills"]["SS"]) for item in found} == {1, 2, 3, 4, 5}
    assert any("tags" not in item for item in found)
    assert any(item["tags"] == {"L": []} for item in found if "tags" in item)
    assert {item["status"]["S"] for item in found} == {"active", "inactive", "pending"}
    assert any(not item["name"]["S"].isascii() for item in found)
    assert {len(item["name"]["S"].split()) for item in found} == {2}
    tenants = Counter(item["tenant_id"]["S"] for item in found)
    assert [tenant for tenant, _ in tenants.most_common()] == ["acme", "globex", "initech"]
    assert len({item["email"]["S"] for item in found}) == 2_000
    assert all(date.fromisoformat(item["joined_date"]["S"]) for item in found)
    expiring = [int(item["expires_at"]["N"]) for item in found if "expires_at" in item]
    assert 0 < len(expiring) < 400
    assert min(expiring) >= 2_208_988_800, "expired members would vanish from the table by themselves"
    optional = {"tags", "expires_at"}
    assert {frozenset(item.keys() - optional) for item in found} == {
        frozenset({"member_id", "tenant_id", "name", "email", "city", "skills", "status", "joined_date"})
    }


class Throttled:
    """A client whose table takes only a part of each request, as a busy one does."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []

    def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((table, requests),) = RequestItems.items()
        assert len(requests) <= 25
        self.taken += [request["PutRequest"]["Item"] for request in requests[:10]]
        return {"UnprocessedItems": {table: requests[10:]} if requests[10:] else {}}


def test_what_was_not_processed_is_sent_again() -> None:
    """Members would be missing from the table without a word."""
    client = Throttled()
    members.generate(client, 60, seed=1)
    assert client.taken == list(members.sample(60, 1))
