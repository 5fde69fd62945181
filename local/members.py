"""The table `members` on the emulator, with sample data: what `include/entities/members.yaml` describes."""

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from local import tables
from searchsync.catalog import entity

ENTITY: Final = entity("members")

SAMPLE_MEMBERS: Final = 10_000
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
TENANTS: Final = ("acme", "globex", "initech")
"""Tenants of the sample: half of the members are of the first, a third of the second, the others of the third."""


def create(endpoint: str) -> None:
    """Make the table and the queues, or what is missing of them."""
    (key,), dynamodb = ENTITY.key, tables.client("dynamodb", endpoint)
    with suppress(dynamodb.exceptions.ResourceInUseException):  # it is there
        dynamodb.create_table(
            TableName=ENTITY.table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": tables.IMAGES},
        )
    expiry = dynamodb.describe_time_to_live(TableName=ENTITY.table)["TimeToLiveDescription"]
    if expiry["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        wanted = {"Enabled": True, "AttributeName": ENTITY.expires}
        dynamodb.update_time_to_live(TableName=ENTITY.table, TimeToLiveSpecification=wanted)
    tables.make_queues(ENTITY, endpoint)


def load(endpoint: str) -> int:
    """Make everything, and put 10,000 members into the table if it is empty. Returns how many were written."""
    create(endpoint)
    dynamodb = tables.client("dynamodb", endpoint)
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
            str(ENTITY.tenant): {"S": TENANTS[(0, 1, 0, 1, 0, 2)[number % 6]]},
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
