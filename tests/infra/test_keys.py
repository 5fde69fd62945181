"""Keys: one for each kind of data, rotated, and used by roles as their own policies say."""

import json
import re
from collections.abc import Callable

import pytest

from tests.infra.plans import ACCOUNT, REGION, Planned

PURPOSES = {"tables", "databases", "search", "caches", "objects", "queues", "secrets", "logs", "alarms"}


def test_each_purpose_has_a_key_that_is_rotated(planned: Callable[[str], Planned]) -> None:
    plan = planned("dev")
    for purpose in PURPOSES:
        key = plan.one(f'module.keys.aws_kms_key.this["{purpose}"]')
        assert key["enable_key_rotation"]
        assert key["rotation_period_in_days"] == 365
        assert key["deletion_window_in_days"] == 30
        assert plan.one(f'module.keys.aws_kms_alias.this["{purpose}"]')["name"] == f"alias/searchsync-{purpose}"
    assert len(plan.of("module.keys.aws_kms_key.")) == len(PURPOSES)


def test_a_service_uses_only_its_key_and_only_for_this_account(planned: Callable[[str], Planned]) -> None:
    plan = planned("dev")
    found = {}
    for purpose in PURPOSES:
        first, *others = json.loads(plan.one(f'module.keys.aws_kms_key.this["{purpose}"]')["policy"])["Statement"]
        assert first["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        for other in others:
            assert "kms:*" not in other["Action"]
            assert ACCOUNT in json.dumps(other["Condition"])
            found[purpose] = other["Principal"]["Service"]
    assert found == {
        "logs": f"logs.{REGION}.amazonaws.com",
        "alarms": "cloudwatch.amazonaws.com",
        "queues": "events.amazonaws.com",
    }


ENCRYPTED_WITH = {
    "aws_cloudwatch_log_group": {"logs"},
    "aws_db_instance": {"databases", "secrets"},
    "aws_dynamodb_table": {"tables"},
    "aws_efs_file_system": {"objects"},
    "aws_elasticache_replication_group": {"caches"},
    "aws_opensearch_domain": {"search"},
    "aws_s3_bucket_server_side_encryption_configuration": {"objects"},
    "aws_secretsmanager_secret": {"secrets"},
    "aws_sns_topic": {"alarms"},
    "aws_sqs_queue": {"queues"},
}
"""By kind, the keys of what is at rest there; of a database, also that of its owner's password."""

KEYS_OF_THEIR_OWN = ('module.data.module.bucket["logs"]', "module.data.module.replica[")
"""Load balancers write with S3's own key alone; copies have the key of their region."""


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_each_thing_is_encrypted_with_the_key_of_its_purpose(
    planned: Callable[[str], Planned], environment: str
) -> None:
    """Roles may use a key by its alias: with another one, what they read and write is refused, and on AWS alone."""
    found = {
        address: (address.split(".")[-2], set(re.findall(r"alias/searchsync-([a-z]+)", json.dumps(values))))
        for address, values in planned(environment).values.items()
        if not re.search(r"\.aws_(kms|iam)_", address)
    }
    wrong = {
        address: used
        for address, (kind, used) in found.items()
        if used != ENCRYPTED_WITH.get(kind, set()) and not address.startswith(KEYS_OF_THEIR_OWN)
    }
    assert wrong == {}
    assert {kind for kind, used in found.values() if used} == ENCRYPTED_WITH.keys()
