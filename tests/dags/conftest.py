"""Airflow for the tests: a home and database of its own, the repository's DAGs and plugins, the test servers."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from psycopg.conninfo import conninfo_to_dict

from local import opensearch as local_opensearch
from local import ports
from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from tests.members import World
from tests.steps import connector, rebuild

REPO = Path(__file__).parents[2]
FOLDER = os.environ.get("SEARCHSYNC_TEST_DIR") or tempfile.mkdtemp(prefix="searchsync-airflow-")
HOME = Path(FOLDER, os.environ.get("PYTEST_XDIST_WORKER", ""), "airflow")

# Before any import of airflow: it reads its configuration once.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
    "AIRFLOW__API__BASE_URL": "http://airflow.test:8080",
    "AIRFLOW__API_AUTH__JWT_SECRET": "only for tests " * 5,
    "SEARCHSYNC_LOAD_POOL": "searchsync_load",
}


@pytest.fixture(scope="session", autouse=True)
def airflow_database() -> None:
    from airflow.utils.db import initdb

    HOME.mkdir(parents=True, exist_ok=True)
    initdb()
    _read_the_folder_once()


@pytest.fixture(scope="session")
def server(airflow_database: None) -> FastAPI:
    """Airflow's API with its plugins, and our DAGs in its database."""
    from airflow.api_fastapi.app import create_app
    from airflow.dag_processing import dagbag
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    bundles: Any = DagBundlesManager
    bundles().sync_bundles_to_db()
    for bundle in bundles().get_all_dag_bundles():
        bundle.initialize()
        found = dagbag.BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        dagbag.sync_bag_to_db(found, bundle.name, bundle.version)
    return create_app(apps="core")


def _read_the_folder_once() -> None:
    """``dag.test()`` reads the whole folder again and writes all its DAGs into the database, which has them already."""
    from airflow.dag_processing import dagbag

    dagbag.BundleDagBag = cache(dagbag.BundleDagBag)  # type: ignore[misc, assignment]
    dagbag.sync_bag_to_db = cache(dagbag.sync_bag_to_db)  # type: ignore[assignment]


@pytest.fixture
def dags(airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All DAGs, parsed anew: a test may change them. A task that asks a person fails: here nobody ever answers."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk.exceptions import AirflowFailException

    def nobody_answers(self: Any, context: Any) -> None:
        raise AirflowFailException(f"{self.task_id} asks: {self.subject}")

    monkeypatch.setattr(ApprovalOperator, "execute", nobody_answers)
    bag = DagBag(REPO / "dags")
    assert not bag.import_errors
    assert bag.dags, f"no DAG was found in {REPO / 'dags'}"
    for dag in bag.dags.values():
        for task in dag.tasks:
            task.retry_delay = timedelta(0)
    return dict(bag.dags)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, app: local_postgres.AppDatabase) -> Callable[..., None]:
    """Sets the connections that the tasks use; a keyword replaces the test server's own port or password."""
    pg = conninfo_to_dict(app.reader_dsn)

    def set_connections(opensearch_port: int, **postgres: Any) -> None:
        values: dict[str, dict[str, Any]] = {
            "OPENSEARCH": {
                "conn_type": "opensearch",
                "host": "127.0.0.1",
                "port": opensearch_port,
                "extra": {"use_ssl": False},
            },
            "POSTGRES": {
                "conn_type": "postgres",
                "host": "127.0.0.1",
                "port": int(str(pg["port"])),
                "login": pg["user"],
                "password": pg["password"],
                "schema": pg["dbname"],
                **postgres,
            },
        }
        for name, value in values.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_SEARCHSYNC_{name}", json.dumps(value))

    return set_connections


@pytest.fixture
def connected(
    connect: Callable[..., None],
    opensearch_server: local_opensearch.Server,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """Connections to the test's servers, an empty OpenSearch; returns the folder of the reports."""
    connect(opensearch_server.port)
    monkeypatch.setenv("SEARCHSYNC_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def reindexed(client: Client, app: local_postgres.AppDatabase, locations: Entity, tmp_path: Path) -> Callable[[], str]:
    """Makes the next live index of locations, without the DAG: that is quicker."""
    return lambda: rebuild(client, connector(locations, app.reader_dsn), tmp_path / "rebuilt")["index"]


@pytest.fixture
def blue(connected: Path, owner: psycopg.Connection, rows: int, reindexed: Callable[[], str]) -> str:
    """The live index of rows that were changed long ago."""
    owner.execute("UPDATE locations SET updated_at = %s", [datetime.now(UTC) - timedelta(days=9)])
    return reindexed()


@pytest.fixture
def members(world: World, connected: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """A table with its stream and queues, to which the tasks' connection leads."""
    connection = {
        "conn_type": "aws",
        "login": "any",
        "password": "any",
        "extra": {"region_name": "eu-west-1", "endpoint_url": aws_url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE", world.urls["dead"])
    monkeypatch.setenv("SEARCHSYNC_MEMBERS_PARKED_QUEUE", world.urls["parked"])
    return world


@pytest.fixture
def slack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """A Slack that keeps what it gets; returns the messages so far."""
    file, port = tmp_path / "slack.jsonl", ports.choose()
    command = [sys.executable, "-m", "local.slack_sink", "--port", str(port), "--file", str(file)]
    process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.DEVNULL)
    connection = {
        "conn_type": "slackwebhook",
        "host": f"http://127.0.0.1:{port}/services",
        "password": "T000/B000/XXX",
    }
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_SLACK", json.dumps(connection))
    while not ports.answers(port):
        assert process.poll() is None, "the Slack sink ended"

    def messages() -> list[str]:
        return file.read_text().splitlines() if file.exists() else []

    yield messages
    process.terminate()
    process.wait()
