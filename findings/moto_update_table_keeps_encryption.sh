#!/usr/bin/env bash
# moto 5.2.5 with boto3 1.44.5: DynamoDB, with mock_aws.
#
# UpdateTable takes SSESpecification and answers 200, and nothing changes: a table that was encrypted by KMS still says
# so after encryption was switched off, and one that was not is not after it was switched on. The billing mode in the
# very same request is changed. In AWS' description of UpdateTable both are settings of the table alike.
# So a check of encryption cannot be shown to turn red against moto, and Terraform plans the same change for ever.
#
# Seen:
#   moto 5.2.5
#   made with KMS: ENABLED KMS, PAY_PER_REQUEST
#   switched off, provisioned: ENABLED KMS, PROVISIONED
#   made without: no SSEDescription
#   switched on: no SSEDescription
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[dynamodb]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
import boto3
import moto

print(f"moto {moto.__version__}")


def encryption(client, name):
    table = client.describe_table(TableName=name)["Table"]
    found = table.get("SSEDescription")
    return f"{found['Status']} {found['SSEType']}" if found else "no SSEDescription"


def billing(client, name):
    return client.describe_table(TableName=name)["Table"]["BillingModeSummary"]["BillingMode"]


with moto.mock_aws():
    client = boto3.Session("none", "none", region_name="eu-west-1").client("dynamodb")
    form = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    client.create_table(TableName="kms", SSESpecification={"Enabled": True, "SSEType": "KMS"}, **form)
    print(f"made with KMS: {encryption(client, 'kms')}, {billing(client, 'kms')}")
    client.update_table(
        TableName="kms",
        SSESpecification={"Enabled": False},
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
    )
    print(f"switched off, provisioned: {encryption(client, 'kms')}, {billing(client, 'kms')}")
    client.create_table(TableName="plain", **form)
    print(f"made without: {encryption(client, 'plain')}")
    client.update_table(TableName="plain", SSESpecification={"Enabled": True, "SSEType": "KMS"})
    print(f"switched on: {encryption(client, 'plain')}")
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
