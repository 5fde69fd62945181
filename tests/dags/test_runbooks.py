"""The commands of the runbooks that ask Airflow: run as they stand, in this process."""

import shlex
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests import runbooks

REPO = Path(__file__).parents[2]


def test_each_command_of_airflow_ends_well(airflow_database: None, capsys: pytest.CaptureFixture[str]) -> None:
    from airflow.cli.cli_parser import get_parser
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]
    sync_bag_to_db(DagBag(REPO / "dags"), "dags-folder", None)
    parser = get_parser()
    lines = {line for block in runbooks.blocks("airflow") for line in block.of("members").splitlines()}
    assert len(lines) > 4
    for line in sorted(lines):
        arguments = parser.parse_args(shlex.split(line)[1:])
        arguments.func(arguments)
        assert "rror" not in capsys.readouterr().err, line


def test_airflow_says_how_it_is() -> None:
    from airflow.api_fastapi.app import create_app

    begin = 'curl -s "$SEARCHSYNC_AIRFLOW_URL'
    lines = {line for block in runbooks.blocks("curl") for line in block.text.splitlines() if line.startswith(begin)}
    assert lines
    client = TestClient(create_app(apps="core"))
    for line in lines:
        answer = client.get(line.removeprefix(begin).rstrip('"'))
        assert (answer.status_code, "scheduler" in answer.json()) == (200, True)
