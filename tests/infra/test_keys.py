"""Keys: one for each kind of data, rotated, and used by roles as their own policies say."""

import json
from collections.abc import Callable

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
