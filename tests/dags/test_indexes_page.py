"""The page *Indexes*: what it shows, to whom, and what it still shows when a server is away."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from searchsync.catalog import CATALOG, Entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.quality.history import History
from searchsync.stream import gaps
from tests.dags.pages import browser
from tests.faults import OpenSearchProxy
from tests.members import World
from tests.steps import insert, make_index, make_red_index, position, serve, page

URL = "/searchsync/indexes"
LOCATIONS, MEMBERS = CATALOG["locations"], CATALOG["members"]
Ran = Callable[..., None]


@pytest.fixture
def reader(server: FastAPI, connected: Path) -> TestClient:
    return browser(server, "viewer")


@pytest.fixture
def operator(server: FastAPI, connected: Path) -> TestClient:
    return browser(server, "user")


@pytest.fixture
def ran(server: FastAPI) -> Iterator[Ran]:
    """Notes a run in Airflow's database."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def note(dag_id: str, run_id: str, state: str) -> None:
        began = datetime.now(UTC) - timedelta(minutes=10)
        ended = None if state == "running" else began + timedelta(seconds=90)
        with create_session() as session:
            run = DagRun(dag_id=dag_id, run_id=run_id, run_type="manual", state=state, run_after=began)
            run.start_date, run.end_date = began, ended
            session.add(run)

    def forget() -> None:
        with create_session() as session:
            session.execute(delete(DagRun))

    forget()
    yield note
    forget()


def text_of(html: str) -> str:
    """What a person reads, with single spaces."""
    body = re.sub(r"(?s)<(style|script|title)\b.*?</\1>", " ", html)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def steps(html: str) -> dict[str, dict[str, Any]]:
    """The steps on a page: the values that each fills in, by its text."""
    found = re.findall(r'<a href="([^"]*/indexes/start/[^"]*)">([^<]*)</a>', html)
    return {said: json.loads(parse_qs(urlsplit(unquote_html(url)).query).get("conf", ["{}"])[0]) for url, said in found}


def unquote_html(url: str) -> str:
    return url.replace("&amp;", "&").replace("&#34;", '"')


def test_an_entity_is_shown_with_what_its_servers_and_airflow_know(
    reader: TestClient, client: Client, members: World, ran: Ran
) -> None:
    ran("members_reindex", "manual__1", "success")
    blue = serve(client, MEMBERS, "members_reindex/manual__1")
    green = serve(client, MEMBERS, "members_reindex/manual__2", blue=blue)
    members.put("m-1", name="x")
    members.apply()
    members.dead.send(["{}", "{}"])
    client.request("POST", f"/{green}/_refresh")
    answer = reader.get(URL)
    assert answer.status_code == 200
    said = text_of(answer.text)
    assert re.search(rf"{green} live", said)
    assert re.search(rf"{blue} rollback candidate", said)
    assert "1 shard" in said
    assert "2 messages" in said
    assert "locations" in said
    assert "There is no index of locations yet" in said
    assert "/dags/members_reindex/runs/manual__1" in answer.text
