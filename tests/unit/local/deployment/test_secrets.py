"""Services start with secrets that nobody chose, and none is overwritten."""

import base64
import re
from typing import Any

import boto3
import pytest

from local.deployment import secrets
from local.errors import LocalError
from local.paths import ROOT


@pytest.fixture
def manager(session: boto3.Session) -> Any:
    manager = session.client("secretsmanager")
    for name in ("airflow-fernet-key", "search-api-cursor-keys", "slack-webhook"):
        manager.create_secret(Name=f"searchsync/{name}")
    manager.create_secret(Name="of-somebody-else")
    return manager


def value(manager: Any, name: str) -> str:
    found: str = manager.get_secret_value(SecretId=f"searchsync/{name}")["SecretString"]
    return found


def test_what_nobody_has_to_choose_is_made_and_the_rest_asked_for(manager: Any) -> None:
    said: list[str] = []
    with pytest.raises(LocalError, match=r"no value, .*: slack-webhook\. .*put-secret-value"):
        secrets.fill(manager, said.append)
    assert said == ["secret airflow-fernet-key: made", "secret search-api-cursor-keys: made"]
    made = value(manager, "airflow-fernet-key")
    assert len(base64.urlsafe_b64decode(made)) == 32
    assert len(bytes.fromhex(value(manager, "search-api-cursor-keys"))) == 32
    assert made not in " ".join(said)
    manager.put_secret_value(SecretId="searchsync/slack-webhook", SecretString="T000/B000/XXX")
    secrets.fill(manager, said.append)
    assert value(manager, "airflow-fernet-key") == made
    assert len(said) == 2


def test_no_two_environments_have_the_same() -> None:
    for make in secrets.MADE.values():
        assert make() != make()
        assert len(make()) >= 40


def test_names_are_those_of_terraform() -> None:
    text = (ROOT / "infra" / "locals.tf").read_text(encoding="utf-8")
    listed = re.search(r"secret_names = \[(.*?)\]", text, re.DOTALL)
    assert listed is not None
    assert {*secrets.MADE, *secrets.GIVEN} >= set(re.findall(r'"([\w-]+)"', listed[1]))
