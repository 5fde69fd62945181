#!/usr/bin/env bash
# moto 5.2.5 (with boto3 and botocore 1.44.5): SetQueueAttributes of SQS, with mock_aws.
#
# AWS documents (SQS API reference, "SetQueueAttributes") that the call sets the attributes that it is given, Policy and
# RedriveAllowPolicy among them, and ("GetQueueAttributes") that All asks for all of them. In moto, setting another
# attribute removes Policy, and RedriveAllowPolicy is taken and never returned.
#
# Seen:
#   moto 5.2.5
#   after the queue is made: Policy is there
#   after VisibilityTimeout is set: Policy is gone
#   RedriveAllowPolicy is set, with status 200; the queue shows it: False
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[sqs]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
import json

import boto3
import moto

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": "arn:aws:sqs:eu-west-1:123456789012:queue",
            }
        ],
    }
)


def policy(when):
    there = "Policy" in sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    print(f"after {when}: Policy is {'there' if there else 'gone'}")


print("moto", moto.__version__)
with moto.mock_aws():
    sqs = boto3.Session("none", "none", region_name="eu-west-1").client("sqs")
    queue = sqs.create_queue(QueueName="queue", Attributes={"Policy": POLICY})["QueueUrl"]
    policy("the queue is made")
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "60"})
    policy("VisibilityTimeout is set")
    answer = sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
    )
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    shown = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    print(f"RedriveAllowPolicy is set, with status {status}; the queue shows it: {'RedriveAllowPolicy' in shown}")
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
