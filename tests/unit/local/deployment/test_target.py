"""Each environment has its own state and its own patience."""

from pathlib import Path
from typing import Any

import pytest

from local.deployment import target
from local.deployment.judge import LATE_SECONDS
from local.deployment.target import Target
from searchsync.canary.policy import policy
from tests.unit.local.deployment.conftest import REGION

ACCOUNT = "123456789012"
DEV = Target("dev", ACCOUNT, REGION, "search.example.org")


def test_every_environment_has_a_time_to_bake() -> None:
    assert [Target(name, "", "", "").bake_seconds for name in ("dev", "staging", "production")] == [60, 960, 1200]


def test_where_a_verdict_is_waited_for_there_is_time_for_its_minutes() -> None:
    """Else each deployment would end as inconclusive. The first minute is not whole, and the last ones come late."""
    rules = policy()
    needed = (rules.samples + 1) * rules.period_seconds + LATE_SECONDS
    targets = [Target(name, "", "", "") for name in ("dev", "staging", "production")]
    assert [target.judged for target in targets] == [False, True, True]
    assert all(target.bake_seconds >= needed for target in targets if target.judged)


def test_only_the_state_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    class Program:
        def __init__(self, root: Path, work: Path, credentials: dict[str, str]) -> None:
            seen.append((root, work, credentials["AWS_PROFILE"]))

        def init(self, backend: dict[str, str]) -> None:
            seen.append(backend)

    monkeypatch.setattr(target, "Terraform", Program)
    monkeypatch.setenv("AWS_PROFILE", "dev")
    DEV.terraform(tmp_path, tmp_path / "work")
    state = {"bucket": f"searchsync-state-{ACCOUNT}", "key": "searchsync.tfstate", "region": REGION}
    assert seen == [(tmp_path / "infra", tmp_path / "work", "dev"), state]
