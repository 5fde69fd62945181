"""What the integration tests share beyond the servers: faulty ways to them, and a copy of ``include/`` to change."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local import processes, servers
from local import redis as local_redis
from searchsync.catalog import Entity, include_dir
from searchsync.cluster.client import Client, connect
from tests.faults import Link, OpenSearchProxy
from tests.steps import Connect, connector

Command = Callable[..., subprocess.CompletedProcess[str]]

# The same examples on every machine; a fixture per test is meant here: examples share the servers.
settings.register_profile(
    "servers", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("servers")


@pytest.fixture
def proxy(opensearch_server: local_opensearch.Server) -> Iterator[OpenSearchProxy]:
    """A way to OpenSearch that can be made faulty."""
    proxy = OpenSearchProxy(opensearch_server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def faulty(client: Client, proxy: OpenSearchProxy) -> Client:
    """A client that goes through ``proxy``; the cluster is empty."""
    return connect(proxy.url)


@pytest.fixture
def postgres_proxy(postgres_server: local_postgres.Server) -> Iterator[Link]:
    """A way to PostgreSQL that can be cut."""
    proxy = Link(postgres_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def connect_source(app: local_postgres.AppDatabase, locations: Entity) -> Connect:
    """How a reindex gets its source."""
    return connector(locations, app.reader_dsn)


@pytest.fixture
def shell(
    opensearch_server: local_opensearch.Server, app: local_postgres.AppDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings that ``./dev env`` gives a shell for locations."""
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", opensearch_server.url)
    monkeypatch.setenv("SEARCHSYNC_POSTGRES_DSN", app.reader_dsn)


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``include/`` that a test may change. Make a fresh ``Entity`` afterwards: they remember their files."""
    folder = tmp_path / "include"
    shutil.copytree(include_dir(), folder)
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(folder))
    return folder


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Where runs put their lists of rejected documents."""
    return tmp_path / "reports"


@pytest.fixture
def searchsync(shell: None, include: Path, tmp_path: Path) -> Command:
    """Runs a command in a process of its own, which reads the entity files anew, with a copy of ``include/``.

    It has to succeed unless told otherwise.
    """

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "searchsync.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ.copy(), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == int(fails), done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def redis_folder(servers_dir: Path) -> Iterator[Path]:
    """Of the Redis that tests share, kill, and start again."""
    folder = servers_dir / "redis"
    yield folder
    if (record := servers.running(folder)) is not None:
        processes.stop(record.process)


@pytest.fixture
def redis_server(redis_folder: Path) -> local_redis.Server:
    """A Redis without any key. The test may kill it, and start it again in its folder, on the same port."""
    server = local_redis.start(redis_folder)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server
