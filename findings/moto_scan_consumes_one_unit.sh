#!/usr/bin/env bash
# moto 5.2.5 (with boto3 and botocore 1.44.5): the DynamoDB of mock_aws, asked with ReturnConsumedCapacity.
#
# moto reports one unit for each page of a Scan: for 99 items of 990,891 bytes together as for one small item, and for a
# strongly consistent read as for an eventually consistent one. AWS documents (DynamoDB Developer Guide, "Capacity unit
# consumption for read operations") one unit for every 4 KB that a strongly consistent Scan reads, and half of that for
# an eventually consistent one: 242 and 121 units for the large page, 1 and 0.5 for the small one.
# So code that keeps to a budget of read capacity cannot be tried with moto's figures.
#
# Seen:
#   moto 5.2.5
#   small, eventually consistent: 109 bytes of items, 1.0 units; documented: 0.5
#   small, strongly consistent: 109 bytes of items, 1.0 units; documented: 1.0
#   large, eventually consistent: 990,891 bytes of items, 1.0 units; documented: 121.0
#   large, strongly consistent: 990,891 bytes of items, 1.0 units; documented: 242.0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[dynamodb]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - <<'PY'
import math
import sys

import boto3
import moto

TABLES = {"small": (1, 100), "large": (100, 10_000)}
"""How many items of which length."""


def table(client, name: str) -> None:
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    items, length = TABLES[name]
    for number in range(items):
        client.put_item(TableName=name, Item={"id": {"S": f"{number:03}"}, "text": {"S": "x" * length}})


def size(item: dict) -> int:
    """As AWS documents it: names and values, in UTF-8."""
    return sum(len(name) + len(value["S"]) for name, value in item.items())


found = []
print("moto", moto.__version__)
with moto.mock_aws():
    client = boto3.client("dynamodb", "eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")
    for name in TABLES:
        table(client, name)
        for consistent in (False, True):
            page = client.scan(TableName=name, ConsistentRead=consistent, ReturnConsumedCapacity="TOTAL")
            units = page["ConsumedCapacity"]["CapacityUnits"]
            read = sum(size(item) for item in page["Items"])
            documented = math.ceil(read / 4096) / (1 if consistent else 2)
            how = "strongly" if consistent else "eventually"
            print(f"{name}, {how} consistent: {read:,} bytes of items, {units} units; documented: {documented}")
            found.append((units, documented))
sys.exit(found != [(1.0, 0.5), (1.0, 1.0), (1.0, 121.0), (1.0, 242.0)])
PY
