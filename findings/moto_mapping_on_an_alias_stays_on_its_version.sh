#!/usr/bin/env bash
# moto 5.2.5 (with boto3 and botocore 1.44.5): an event source mapping on the alias of a Lambda function, with mock_aws.
#
# AWS documents that FunctionName may be the ARN of an alias (Lambda API reference, "CreateEventSourceMapping"), and that
# such a mapping need not be updated when the version changes (Lambda developer guide, "Using Lambda aliases in event
# sources and permissions policies"). moto answers with the ARN of the version that the alias pointed to when the mapping
# was made, and keeps it when the alias has moved. So whoever compares a mapping with what was asked for finds another
# function, before the alias moves and after it.
#
# Seen:
#   moto 5.2.5
#   asked for: function:indexer:live
#   FunctionArn shown: function:indexer:1
#   after the alias has moved to version 2: function:indexer:1
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[awslambda,dynamodb,iam]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
import io
import json
import zipfile

import boto3
import moto


def short(arn):
    return arn.split("123456789012:")[1]


def package(body):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("handler.py", f"def handler(event, context):\n    {body}\n")
    return archive.getvalue()


print("moto", moto.__version__)
with moto.mock_aws():
    session = boto3.Session("none", "none", region_name="eu-west-1")
    role = session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps({}))["Role"]["Arn"]
    stream = session.client("dynamodb").create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    functions = session.client("lambda")
    functions.create_function(
        FunctionName="indexer",
        Runtime="python3.13",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": package("return {}")},
        Publish=True,
    )
    alias = functions.create_alias(FunctionName="indexer", Name="live", FunctionVersion="1")["AliasArn"]
    print("asked for:", short(alias))
    mapping = functions.create_event_source_mapping(
        FunctionName=alias, EventSourceArn=stream, StartingPosition="TRIM_HORIZON", BatchSize=100
    )
    print("FunctionArn shown:", short(mapping["FunctionArn"]))
    source = {"ZipFile": package("return {'batchItemFailures': []}")}
    functions.update_function_code(FunctionName="indexer", Publish=True, **source)
    functions.update_alias(FunctionName="indexer", Name="live", FunctionVersion="2")
    found = functions.get_event_source_mapping(UUID=mapping["UUID"])
    print("after the alias has moved to version 2:", short(found["FunctionArn"]))
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
