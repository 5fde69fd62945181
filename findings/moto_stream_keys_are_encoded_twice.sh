#!/usr/bin/env bash
# moto 5.2.5 (with boto3 and botocore 1.44.5): the stream of a DynamoDB table whose partition key is binary, with
# mock_aws.
#
# A record of the stream has the item's key twice: in Keys, and in its images. AWS documents (DynamoDB Streams API
# reference, "StreamRecord" and "AttributeValue") the same attribute values for both. Of moto's records the image has
# the bytes that were put, and Keys has their base64 text: it was encoded once more than botocore decodes. Strings and
# numbers are alike in both.
# So a reader of streams that finds items by Keys, as an event source mapping's function does, finds no item with moto.
#
# Seen:
#   moto 5.2.5
#   put: b'\x00\xff'
#   in the new image: b'\x00\xff'
#   in the keys: b'AP8='
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[dynamodb,dynamodbstreams]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
import boto3
import moto

KEY = b"\x00\xff"

print("moto", moto.__version__)
with moto.mock_aws():
    session = boto3.Session("none", "none", region_name="eu-west-1")
    dynamodb = session.client("dynamodb")
    # moto does not know the endpoint that botocore would choose: moto_and_botocore_disagree_on_endpoints_of_streams.sh
    streams = session.client("dynamodbstreams", endpoint_url="https://streams.dynamodb.eu-west-1.amazonaws.com")
    table = dynamodb.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "B"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    dynamodb.put_item(TableName="table", Item={"id": {"B": KEY}})
    asked = {"StreamArn": table["LatestStreamArn"], "ShardIteratorType": "TRIM_HORIZON"}
    (shard,) = streams.describe_stream(StreamArn=asked["StreamArn"])["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(**asked, ShardId=shard["ShardId"])["ShardIterator"]
    (record,) = streams.get_records(ShardIterator=iterator)["Records"]
    print("put:", KEY)
    print("in the new image:", record["dynamodb"]["NewImage"]["id"]["B"])
    print("in the keys:", record["dynamodb"]["Keys"]["id"]["B"])
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
