"""The state and the images are private, kept, and not overwritten."""

import json
import re

import boto3
import pytest

from local.deployment import bootstrap
from local.deployment.approval import Approval
from local.deployment.target import Target, state_bucket
from local.paths import ROOT
from tests.unit.local.deployment.conftest import REGION

TARGET = Target("dev", "123456789012", REGION, "search.example.org")


def test_it_is_made_once(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    bootstrap.prepare(TARGET, Approval("dev", plan_only=True))
    assert session.client("s3").list_buckets()["Buckets"] == []
    assert capsys.readouterr().out.count("would be made") == 3
    bootstrap.prepare(TARGET, Approval("dev"))
    assert capsys.readouterr().out.count("is made") == 3
    bootstrap.prepare(TARGET, Approval("dev"))
    assert capsys.readouterr().out.count("is there") == 3
    s3, name = session.client("s3"), state_bucket(TARGET.account_id)
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
    (denied,) = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    repositories = session.client("ecr").describe_repositories()["repositories"]
    assert {one["repositoryName"] for one in repositories} == set(bootstrap.REPOSITORIES)
    assert {one["imageTagMutability"] for one in repositories} == {"IMMUTABLE"}


def test_names_are_those_that_the_roles_may_pull_from() -> None:
    text = (ROOT / "include" / "policies" / "roles.yaml").read_text(encoding="utf-8")
    assert {f"searchsync-{name}" for name in re.findall(r"\[\"\$\{ecr\}/searchsync-([a-z-]+)\"\]", text)} == set(
        bootstrap.REPOSITORIES
    )
