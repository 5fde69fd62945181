"""Secrets that nobody else has are put where secrets are; then all that a run leaves behind is searched for them.

A log is read by more people than a password, and kept for longer. What is looked at here was not masked by Airflow.
"""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from local.members import generate
from searchsync.operations import reindex
from tests.faults import OpenSearchProxy
from tests.members import World

PASSWORD, WRONG_PASSWORD = "canary-opensearch-Yw7h", "canary-postgres-Qe2k"
KEY_ID, KEY, SESSION = "AKIACANARYK3Z8P1X5V2", "canary/aws+key/Tz9d", "canary-session-Lm4r"
WEBHOOK = "T0CANARY0/B0CANARY0/canarywebhookUb6s"
LOGIN = "searcher"
CANARIES = (PASSWORD, WRONG_PASSWORD, KEY_ID, KEY, SESSION, WEBHOOK)


def spellings(secret: str) -> Iterator[str]:
    """How a secret is written: as it is, in a URL, as JSON or Python would, and in the header of a login."""
    yield from {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    yield base64.b64encode(f"{LOGIN}:{secret}".encode()).decode()


def found_in(text: str) -> list[str]:
    return [secret for secret in CANARIES if any(spelling in text for spelling in spellings(secret))]


@pytest.fixture
def secretive(
    members: World,
    connect: Callable[..., None],
    opensearch_server: Any,
    aws_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> OpenSearchProxy:
    """Connections of which each holds a canary; Slack's leads nowhere, so that each message to it fails."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    connect(opensearch_server.port, password=WRONG_PASSWORD)
    search = OpenSearchProxy(opensearch_server.url)
    described = {
        "SEARCHSYNC_OPENSEARCH": {
            "conn_type": "opensearch",
            "host": "127.0.0.1",
            "port": search.port,
            "login": LOGIN,
            "password": PASSWORD,
            "extra": {"use_ssl": False},
        },
        "SEARCHSYNC_SLACK": {"conn_type": "slackwebhook", "host": "http://127.0.0.1:9/services", "password": WEBHOOK},
        "AWS_DEFAULT": {
            "conn_type": "aws",
            "login": KEY_ID,
            "password": KEY,
            "extra": {"region_name": "eu-west-1", "endpoint_url": aws_url, "aws_session_token": SESSION},
        },
    }
    for name, connection in described.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
    return search


def test_no_secret_is_in_what_a_run_leaves_behind(
    dags: dict[str, Any],
    members: World,
    secretive: OpenSearchProxy,
    connected: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for logger in ("searchsync", "search_ops"):
        caplog.set_level(logging.DEBUG, logger)
    generate(members.aws["dynamodb"], 20)

    states = [dags["members_reindex"].test(logical_date=None).state]
    members.put("bad", name="x", sync={"M": {}})
    members.apply()
    states += [dags[f"members_{name}"].test(logical_date=None).state for name in ("dlq_replay", "quality")]
    secretive.answer("_bulk", 401, {"error": {"type": "security_exception", "reason": "who are you?"}}, times=None)
    states.append(dags["members_reindex"].test(logical_date=None).state)
    states.append(dags["locations_reindex"].test(logical_date=None).state)
    assert states == ["success", "success", "failed", "failed", "failed"], "errors are a part of it"

    shown = "".join(capfd.readouterr()) + caplog.text
    assert "refuses the connection" in shown, "the log is not looked at"
    assert found_in(shown) == []
    assert found_in(xcom()) == []
    files = [path for path in connected.rglob("*") if path.is_file()]
    assert files
    assert {path.name: leaked for path in files if (leaked := found_in(path.read_text(errors="replace")))} == {}


def xcom() -> str:
    """Return all that tasks handed on so far."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        values = [json.dumps(value, default=str) for (value,) in session.query(XComModel.value)]
    assert values
    return "\n".join(values)


@pytest.mark.parametrize("secret", CANARIES)
def test_the_search_finds_each_secret_in_each_spelling(secret: str) -> None:
    """A test of secrets that cannot find one is worse than none."""
    for spelling in spellings(secret):
        assert found_in(f"Authorization: Basic {spelling}, and more") == [secret]
