"""The table `members`, its stream and the queue of its function, on the emulator, with sample data.

What the table is like is said in `include/entities/members.yaml`, and what queues and function are like in
`lambdas/members_stream/settings.json`, for here and for the deployment.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from local.airflow import aws_environment
from local.paths import ROOT
from searchsync.catalog import entity
from searchsync.stream.queue import DEAD_LETTER_QUEUE, PARKED_QUEUE

HANDLER: Final = ROOT / "lambdas" / "members_stream" / "handler.py"
SETTINGS: Final[dict[str, Any]] = json.loads(HANDLER.with_name("settings.json").read_text(encoding="utf-8"))
ENTITY: Final = entity(SETTINGS["entity"])
ALIAS: Final = ENTITY.write_alias
FUNCTION_ENVIRONMENT: Final = {"SEARCHSYNC_ENTITY": ENTITY.name}
"""Variables that tell the function which entity it serves."""

SAMPLE_MEMBERS: Final = 10_000
_ACCOUNT = "123456789012"  # moto's
_BATCH = 25  # what BatchWriteItem takes
_FIRST_DAY = date(2015, 1, 1)
_FIRST_EXPIRY = datetime(2040, 1, 1, tzinfo=UTC)

_GIVEN = """Ada Aino Amélie Björn Chidi Chloé Dmitri Elif Émile Fatima François Grace Hana Håkon Ines Jamal João Karin
Léa Linus Łucja Mei Mateo Nadia Noah Olga Priya Ravi Renée Sofía Søren Tomás Uma Viktor Wen Yusuf Zoë"""
_FAMILY = """Almeida Andersson Bakker Brontë Castro Çelik Dubois Eriksen Fischer García Haddad Horváth Ivanova Jensen
Kowalski Kim Lindström Lefèvre Mbeki Müller Nakamura Nguyen Núñez Okafor Patel Petrov Quinn Rossi Schäfer Silva Smith
Tanaka Türk Usman Virtanen Weber Yıldız Zieliński"""
_CITIES = ["Berlin", "Bogotá", "Dublin", "Kraków", "Lagos", "Lisboa", "Malmö", "Osaka", "São Paulo", "Zürich"]
_SKILLS = ["airflow", "dynamodb", "go", "java", "kafka", "kubernetes", "opensearch", "postgresql", "python", "rust"]
_TAGS = ["alumni", "beta", "mentor", "newsletter", "remote", "speaker", "vip"]
_STATUSES = {"active": 80, "inactive": 15, "pending": 5}


@dataclass(frozen=True, slots=True)
class Members:
    """What `create` made or found."""

    stream_arn: str
    queues: dict[str, str]


def client(service: str, endpoint: str) -> Any:
    """A client of the emulator, whatever account and proxy this shell is set up for."""
    import boto3
    from botocore.config import Config

    from searchsync.aws import CONFIG

    own = aws_environment(endpoint)
    session = boto3.Session(
        aws_access_key_id=own["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=own["AWS_SECRET_ACCESS_KEY"],
        region_name=own["AWS_DEFAULT_REGION"],
    )
    return session.client(service, endpoint_url=endpoint, config=CONFIG.merge(Config(proxies={})))


def queues(endpoint: str) -> dict[str, str]:
    """Where the queues will be, for those that start before they are made: variable of the environment, and URL."""
    names = SETTINGS["queues"]
    return {
        ENTITY.variable(DEAD_LETTER_QUEUE): f"{endpoint}/{_ACCOUNT}/{names['dead_letters']}",
        ENTITY.variable(PARKED_QUEUE): f"{endpoint}/{_ACCOUNT}/{names['parked']}",
    }


def create(endpoint: str) -> Members:
    """Make the table and the queues, or what is missing of them."""
    (key,), dynamodb = ENTITY.key, client("dynamodb", endpoint)
    try:
        described = dynamodb.describe_table(TableName=ENTITY.table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        described = dynamodb.create_table(
            TableName=ENTITY.table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )["TableDescription"]
    expiry = dynamodb.describe_time_to_live(TableName=ENTITY.table)["TimeToLiveDescription"]
    if expiry["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        wanted = {"Enabled": True, "AttributeName": ENTITY.expires}
        dynamodb.update_time_to_live(TableName=ENTITY.table, TimeToLiveSpecification=wanted)
    settings, sqs = SETTINGS["queues"], client("sqs", endpoint)
    for name in (settings["dead_letters"], settings["parked"]):
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]  # one that is there may have other attributes
        sqs.set_queue_attributes(
            QueueUrl=queue,
            Attributes={
                "MaximumMessageSize": str(settings["maximum_message_size_bytes"]),
                "MessageRetentionPeriod": str(settings["message_retention_seconds"]),
                "VisibilityTimeout": str(settings["visibility_timeout_seconds"]),
            },
        )
    return Members(described["LatestStreamArn"], queues(endpoint))


def load(endpoint: str) -> int:
    """Make everything, and put 10,000 members into the table if it is empty. Returns how many were written."""
    create(endpoint)
    dynamodb = client("dynamodb", endpoint)
    if dynamodb.scan(TableName=ENTITY.table, Limit=1)["Items"]:
        return 0
    return generate(dynamodb, SAMPLE_MEMBERS)


def generate(client: Any, count: int, seed: int = 1) -> int:
    """Write invented members, numbers 1 to `count`; the same number and seed always give the same members.

    :param client: of DynamoDB.
    """
    items, name = sample(count, seed), ENTITY.table
    while waiting := [{"PutRequest": {"Item": item}} for item in islice(items, _BATCH)]:
        while waiting:
            waiting = client.batch_write_item(RequestItems={name: waiting})["UnprocessedItems"].get(name, [])
    return count


def sample(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The members that `generate` writes, as DynamoDB's JSON."""
    choose = random.Random(seed)
    given, family = _GIVEN.split(), _FAMILY.split()
    for number in range(1, count + 1):
        name = f"{choose.choice(given)} {choose.choice(family)}"
        joined = _FIRST_DAY + timedelta(days=choose.randrange(4_000))
        item: dict[str, Any] = {
            ENTITY.key[0]: {"S": f"m-{number:07d}"},
            "name": {"S": name},
            "email": {"S": f"member{number}@example.com"},
            "city": {"S": choose.choice(_CITIES)},
            "skills": {"SS": sorted(choose.sample(_SKILLS, choose.randint(1, 5)))},
            "status": {"S": choose.choices([*_STATUSES], [*_STATUSES.values()])[0]},
            "joined_date": {"S": joined.isoformat()},
        }
        if choose.random() < 0.8:
            item["tags"] = {"L": [{"S": tag} for tag in choose.sample(_TAGS, choose.randint(0, 3))]}
        if choose.random() < 0.05:
            expires = _FIRST_EXPIRY + timedelta(days=choose.randrange(3_650))
            item[str(ENTITY.expires)] = {"N": str(int(expires.timestamp()))}
        yield item
