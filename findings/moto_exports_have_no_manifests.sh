#!/usr/bin/env bash
# moto 5.2.5 (with boto3 and botocore 1.44.5): exports of a DynamoDB table to S3, with mock_aws.
#
# AWS documents (DynamoDB Developer Guide, "DynamoDB table export output format") a manifest-summary.json, a
# manifest-files.json and a checksum for each of them, with data files below them that the second manifest lists; and
# (API reference, ExportTableToPointInTime) that a request with the ClientToken of an earlier one is the same request.
# moto writes one data file and nothing else, DescribeExport tells neither ExportTime nor ExportManifest, and two
# requests with one ClientToken make two exports, each with its own ARN.
# So whoever reads exports by their manifests, or requests one again after a crash, cannot try that with moto.
#
# Seen:
#   moto 5.2.5
#   objects of two exports: {'.gz': 2}
#   told of an export: ExportManifest False, ExportTime False, ItemCount True
#   one ClientToken, two requests: 2 exports
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[dynamodb,s3]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
import time
from collections import Counter

import boto3
import moto

print("moto", moto.__version__)
with moto.mock_aws():
    session = boto3.Session("none", "none", region_name="eu-west-1")
    dynamodb, s3 = session.client("dynamodb"), session.client("s3")
    s3.create_bucket(Bucket="exports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    table = dynamodb.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=recovery)
    dynamodb.put_item(TableName="table", Item={"id": {"S": "1"}})
    asked = {"TableArn": table, "S3Bucket": "exports", "S3Prefix": "one", "ClientToken": "the same"}
    arns = [dynamodb.export_table_to_point_in_time(**asked)["ExportDescription"]["ExportArn"] for _ in range(2)]
    for _ in range(100):
        told = [dynamodb.describe_export(ExportArn=arn)["ExportDescription"] for arn in arns]
        if all(export["ExportStatus"] != "IN_PROGRESS" for export in told):
            break
        time.sleep(0.1)
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="exports")["Contents"]]
    endings = Counter(next((end for end in (".gz", ".json", ".md5") if key.endswith(end)), key) for key in keys)
    print("objects of two exports:", dict(endings))
    names = ("ExportManifest", "ExportTime", "ItemCount")
    print("told of an export:", ", ".join(f"{name} {bool(told[0].get(name))}" for name in names))
    print(f"one ClientToken, two requests: {len(set(arns))} exports")
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
