#!/usr/bin/env bash
# moto 5.2.5 with boto3 and botocore 1.44.5: DynamoDB Streams, with mock_aws.
#
# botocore sends a request with a stream's ARN to the endpoint of the ARN's account, ACCOUNT.streams-ddb.REGION. moto
# knows the endpoint without an account only, and answers the other one with 404 "Not yet implemented". ListStreams,
# which has no ARN, works; so does everything when the client is told to leave the account out. Tables are not affected:
# moto knows ACCOUNT.ddb.REGION.
# So tests of a stream that passed with an older botocore fail at their first DescribeStream.
#
# Seen:
#   moto 5.2.5, botocore 1.44.5
#   ListStreams: 1 stream
#   DescribeStream at 123456789012.streams-ddb.eu-west-1.amazonaws.com: 404 Not yet implemented
#   without the account at streams.dynamodb.eu-west-1.amazonaws.com: 1 shard
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[dynamodb,dynamodbstreams]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
from urllib.parse import urlsplit

import boto3
import botocore
import moto
from botocore.config import Config

print(f"moto {moto.__version__}, botocore {botocore.__version__}")
hosts = []
with moto.mock_aws():
    session = boto3.Session("none", "none", region_name="eu-west-1")
    table = session.client("dynamodb").create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    asked = {"StreamArn": table["LatestStreamArn"]}

    def client(**settings):
        made = session.client("dynamodbstreams", config=Config(retries={"total_max_attempts": 1}, **settings))
        made.meta.events.register("request-created", lambda request, **_: hosts.append(urlsplit(request.url).hostname))
        return made

    usual = client()
    print("ListStreams:", len(usual.list_streams()["Streams"]), "stream")
    try:
        answer = f"{len(usual.describe_stream(**asked)['StreamDescription']['Shards'])} shard"
    except usual.exceptions.ClientError as error:
        answer = f"{error.response['Error']['Code']} {error.response['Error']['Message']}"
    print(f"DescribeStream at {hosts[-1]}: {answer}")
    shards = client(account_id_endpoint_mode="disabled").describe_stream(**asked)["StreamDescription"]["Shards"]
    print(f"without the account at {hosts[-1]}: {len(shards)} shard")
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
