"""Airflow for the tests: its own home and database, the repository's DAGs and plugins, connections to the test servers."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
HOME = Path(os.environ.get("SEARCHSYNC_TEST_DIR") or tempfile.mkdtemp(prefix="searchsync-airflow-")) / "airflow"

# Before any import of airflow: it reads its configuration once.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
    "AIRFLOW__API__BASE_URL": "http://airflow.test:8080",
}


@pytest.fixture(scope="session", autouse=True)
def airflow_database() -> None:
    from airflow.utils.db import initdb

    HOME.mkdir(parents=True, exist_ok=True)
    initdb()


@pytest.fixture(scope="session")
def dagbag(airflow_database: None) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(REPO / "dags")
    assert bag.dags, f"no DAG was found in {REPO / 'dags'}: {bag.import_errors}"
    return bag


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[Any]:
    """A Slack that keeps what it gets: ``slack()`` returns the texts."""
    import subprocess
    import sys

    from local import ports

    file = tmp_path / "slack.jsonl"
    port = ports.choose(None)
    process = subprocess.Popen([sys.executable, "-m", "local.slack_sink", "--port", str(port), "--file", str(file)], cwd=REPO)

    def texts() -> list[str]:
        return [json.dumps(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    texts.port = port  # type: ignore[attr-defined]
    yield texts
    process.terminate()
    process.wait()


@pytest.fixture
def connections(
    monkeypatch: pytest.MonkeyPatch, app: Any, opensearch_server: Any, client: Any, tmp_path: Path
) -> None:
    """The connections that the tasks use, to the test's servers."""
    from psycopg.conninfo import conninfo_to_dict

    pg = conninfo_to_dict(app.reader_dsn)
    values: dict[str, dict[str, Any]] = {
        "OPENSEARCH": {
            "conn_type": "opensearch", "host": "127.0.0.1", "port": opensearch_server.port, "extra": {"use_ssl": False},
        },
        "POSTGRES": {
            "conn_type": "postgres", "host": pg["host"], "port": int(pg["port"]), "login": pg["user"],
            "password": pg["password"], "schema": pg["dbname"],
        },
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_SEARCHSYNC_{name}", json.dumps(value))
    monkeypatch.setenv("SEARCHSYNC_REPORTS", str(tmp_path / "reports"))
