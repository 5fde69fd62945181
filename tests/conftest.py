"""Real servers for the tests: one PostgreSQL and one OpenSearch for the session, clean for each test that asks."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local import processes, sample_data, servers
from searchsync.catalog import Entity, entity
from searchsync.cluster.client import Client
from searchsync.compare import differences
from searchsync.compare.differences import DEFAULT_EFFORT, DiffReport, Effort
from searchsync.operations import reindex, replay
from searchsync.sources.postgres import PostgresSource
from tests import calls
from tests.members import World, clients, newer
from tests.steps import emptied, start_mortal

REPO = Path(__file__).parents[1]

calls.watch()


@pytest.fixture(autouse=True)
def calls_are_granted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail each test in which a part of the product makes a call that its role is not granted."""
    _fail_unless_granted()  # what fixtures did that several tests share
    yield
    if request.node.get_closest_marker("mutant"):  # it is not the product: its calls are as if they had not been
        calls.CALLS.clear()
    _fail_unless_granted()


def _fail_unless_granted() -> None:
    found = calls.not_granted([*calls.CALLS])
    calls.CALLS.clear()
    assert not found, (
        f"include/policies does not grant {', '.join(f'{part} the call {what}' for part, what in found)}: grant it "
        "there, or do not make it (docs/infrastructure/iam.md)"
    )


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """Where the session's servers keep their data: given by ``./dev test``, else temporary."""
    given = os.environ.get("SEARCHSYNC_TEST_DIR")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # each has its own
    folder = Path(given, worker) if given else Path(tempfile.mkdtemp(prefix="searchsync-test-"))
    yield folder
    if not given:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(servers_dir: Path) -> Iterator[local_postgres.Server]:
    server = local_postgres.start(servers_dir / "postgres", durable=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def opensearch_server(servers_dir: Path) -> Iterator[local_opensearch.Server]:
    server = local_opensearch.start(servers_dir / "opensearch")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mortal_folder(servers_dir: Path) -> Iterator[Path]:
    """Of the OpenSearch that tests kill."""
    yield servers_dir / "mortal"
    if (server := servers.running(servers_dir / "mortal")) is not None:
        processes.stop(server.process)


@pytest.fixture
def mortal(mortal_folder: Path) -> local_opensearch.Server:
    """An OpenSearch without any index that the test may kill, and start again in its folder."""
    server = start_mortal(mortal_folder)
    emptied(server)
    return server


@pytest.fixture
def client(opensearch_server: local_opensearch.Server) -> Client:
    """A client of an OpenSearch without any index."""
    return emptied(opensearch_server)


@pytest.fixture(scope="session")
def app(postgres_server: local_postgres.Server) -> local_postgres.AppDatabase:
    return local_postgres.create_app(postgres_server)


@pytest.fixture
def owner(app: local_postgres.AppDatabase) -> Iterator[psycopg.Connection]:
    """The owner's connection to an empty table `locations`; autocommit."""
    with psycopg.connect(app.owner_dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE locations")
        yield connection


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    """The emulator with its bridges."""
    command = [sys.executable, "-m", "local.aws", "--port", "0"]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.fixture
def world(client: Client, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """Members: a new table with stream and queues, and an OpenSearch without any index."""
    # The emulator forgets none of its messages; waiting, a run would see those again that rest for a second.
    monkeypatch.setattr(replay, "EMPTY_SECONDS", 0)
    return World(client, newer(entity("members")), clients(aws_url))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fence and no grace: nothing is on its way when an index joins, or is compared."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    original = differences.find

    def find(*args: Any, effort: Effort = DEFAULT_EFFORT, **options: Any) -> DiffReport:
        return original(*args, **options, effort=replace(effort, grace=0.0))

    monkeypatch.setattr(differences, "find", find)


@pytest.fixture
def locations() -> Entity:
    """One that has not read its files yet: what a test changes in them must not depend on the tests before it."""
    return dataclasses.replace(entity("locations"))


@pytest.fixture
def source(app: local_postgres.AppDatabase, locations: Entity) -> Iterator[PostgresSource]:
    """The reader's view of the table."""
    source = PostgresSource(locations, app.reader_dsn)
    yield source
    source.close()


@pytest.fixture
def rows(owner: psycopg.Connection) -> int:
    """2,000 generated rows in the table."""
    sample_data.generate(owner, 2_000)
    return 2_000
