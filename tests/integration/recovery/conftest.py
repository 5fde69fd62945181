"""What the tests of snapshots and drills share: the repository of the policy, in a folder of the test's OpenSearch."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from local import opensearch as local_opensearch
from local import sample_data
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.cluster.snapshots import Repository
from searchsync.config import snapshots
from searchsync.errors import RequestRejected
from tests.steps import Connect, rebuild, until


@pytest.fixture
def repository(client: Client, include: Path, opensearch_server: local_opensearch.Server) -> Iterator[Repository]:
    """The one of the policy; its files are below ``snapshots`` of the server's folder."""
    del include  # tests change policies
    repository = Repository(client, snapshots().repository)
    register(client, repository.name)
    yield repository
    until(lambda: _unregistered(client), "nothing is under way in the repository")
    shutil.rmtree(opensearch_server.folder / "snapshots", ignore_errors=True)


def register(client: Client, name: str, **settings: str) -> None:
    body = {"type": "fs", "settings": {"location": name, **settings}}
    client.request("PUT", f"/_snapshot/{name}", body=body)


def _unregistered(client: Client) -> bool:
    try:
        client.request("DELETE", "/_snapshot/*")
    except RequestRejected as error:
        if error.error_type != "illegal_state_exception":  # a snapshot or a restore is still under way
            raise
        return False
    return True


@pytest.fixture
def reindexed(client: Client, connect_source: Connect, tmp_path: Path) -> Callable[[], str]:
    """Makes the next live index of locations."""
    return lambda: str(rebuild(client, connect_source, tmp_path)["index"])


@pytest.fixture
def live(owner: psycopg.Connection, reindexed: Callable[[], str]) -> str:
    """The live index of 200 rows, which were changed long ago."""
    sample_data.generate(owner, 200)
    owner.execute("UPDATE locations SET updated_at = now() - interval '9 days'")
    return reindexed()


@pytest.fixture
def indexes(client: Client, locations: Entity) -> EntityIndexes:
    return EntityIndexes(client, locations)


def tune(include: Path, policy: str, **values: object) -> None:
    """Change a policy."""
    path = include / "policies" / f"{policy}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))
