"""One measured run of batches into fresh indexes, and what they hold afterwards."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks._runs import WrongResult
from benchmarks._stream_load import ENTITY
from local import members, tables
from local.paths import ROOT
from searchsync.cluster import aliases, creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.sources.dynamodb import DynamoSource


@dataclass(frozen=True)
class Run:
    """What one run took; of the client, the seconds of CPU."""

    way: str
    batch: int
    indexes: int
    records: int
    seconds: float
    client_cpu: float

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds


def run(client: Client, env: Mapping[str, str], way: str, *, records: int, batch: int, count: int = 1) -> Run:
    """Apply the same changes to ``count`` empty indexes, in a process of its own, and check what arrived.

    :raises WrongResult: when documents are missing or there are too many
    """
    with _fresh(client, count) as names:
        job = {"way": way, "records": records, "batch": batch, "index": names[0]}
        command = [sys.executable, "-m", "benchmarks._stream_load", json.dumps(job)]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{way}: the process failed; its error is above")
        result: dict[str, Any] = json.loads(done.stdout)
        for name in names:
            found = _counts(client, name)
            if found != (result["documents"], result["alive"]):
                wanted = f"{result['documents']} documents, {result['alive']} of them not deleted"
                raise WrongResult(f"{way}: {name} has {found[0]} and {found[1]}, not {wanted}")
    return Run(way, batch, count, records, result["seconds"], result["cpu"])


def make_index(client: Client, identity: str) -> str:
    """An empty index in the write set, with the settings of one that is served."""
    source = {"identity": identity, "epoch": 1}
    name = creation.find_or_create(
        EntityIndexes(client, ENTITY), run_id=f"benchmark-{time.time_ns()}", source=source
    ).name
    aliases.join(EntityIndexes(client, ENTITY), name)
    creation.make_searchable(EntityIndexes(client, ENTITY), name)
    return name


def serve(client: Client, endpoint: str) -> str:
    """Make the table, and an empty index of it that is served from the start. Returns the index."""
    members.create(endpoint)
    identity = DynamoSource(ENTITY, tables.client("dynamodb", endpoint)).origin()
    name = make_index(client, identity)
    aliases.swap(EntityIndexes(client, ENTITY), blue=None, green=name)
    return name


def sweep(client: Client) -> None:
    """Delete all indexes of members: those of a run that was killed, and the live one of a finished run."""
    for index in EntityIndexes(client, ENTITY).all():
        client.request("DELETE", f"/{index.name}")


@contextmanager
def _fresh(client: Client, count: int) -> Iterator[list[str]]:
    names = [make_index(client, "benchmark") for _ in range(count)]
    try:
        yield names
    finally:
        for name in names:
            aliases.delete(EntityIndexes(client, ENTITY), name)


def _counts(client: Client, name: str) -> tuple[int, int]:
    """Documents, and those that are no tombstones."""
    Index(client, name).refresh()
    alive = {"query": {"term": {"sync.deleted": False}}}
    total, living = (client.request("POST", f"/{name}/_count", body=body)["count"] for body in ({}, alive))
    return total, living
