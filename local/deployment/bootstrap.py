"""What must be there before Terraform: the bucket of its state, and the repositories of the images that it names.

Made once in each account, by a person with rights of an administrator; made again, it changes nothing.
"""

import json
from typing import Any, Final

from local.deployment.approval import Approval
from local.deployment.deploy import say
from local.deployment.target import Target, state_bucket

REPOSITORIES: Final = ("searchsync-airflow", "searchsync-search-api")
_KEPT_IMAGES = 30
_KEPT_STATE_DAYS = 90


def prepare(target: Target, approval: Approval) -> None:
    """Make what is missing.

    :param approval: with `plan_only`, nothing is made
    """
    session, bucket = target.session(), state_bucket(target.account_id)
    for text, there, make in (
        *((f"repository {name}", *_repository(session.client("ecr"), name)) for name in REPOSITORIES),
        (f"bucket {bucket}", *_bucket(session.client("s3"), bucket, target.region)),
    ):
        if there():
            say(f"{text} is there")
        elif approval.plan_only:
            say(f"{text} would be made")
        else:
            make()
            say(f"{text} is made")


def _repository(ecr: Any, name: str) -> tuple[Any, Any]:
    def there() -> bool:
        pages = ecr.get_paginator("describe_repositories").paginate()
        return any(one["repositoryName"] == name for page in pages for one in page["repositories"])

    def make() -> None:
        ecr.create_repository(
            repositoryName=name,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "AES256"},
        )
        kept = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEPT_IMAGES}
        rule = {"rulePriority": 1, "selection": kept, "action": {"type": "expire"}}
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]}))

    return there, make


def _bucket(s3: Any, name: str, region: str) -> tuple[Any, Any]:
    def there() -> bool:
        return any(one["Name"] == name for one in s3.list_buckets()["Buckets"])

    def make() -> None:
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
        closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(closed, True))
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        encrypted = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [encrypted]})
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(_only_tls(name)))
        older = {"NoncurrentDays": _KEPT_STATE_DAYS}
        rule = {"ID": "older", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": older}
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})

    return there, make


def _only_tls(name: str) -> dict[str, Any]:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
