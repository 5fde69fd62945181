"""Steps that many tests take: an index, a page, a row, and what is there afterwards."""

import json
import secrets
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import conninfo

from local import opensearch as local_opensearch
from searchsync.catalog import Entity
from searchsync.cli import workflows
from searchsync.cluster import aliases, creation
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.page import Document, Page, Rejection, page_of, read_document, tombstone
from searchsync.operations import reindex
from searchsync.sources.base import Source
from searchsync.sources.postgres import PostgresSource

Connect = Callable[[reindex.ReindexPlan | None], PostgresSource]
SOURCE = {"identity": "7000000000000000001.00000001", "epoch": 1}


def connector(entity: Entity, dsn: str) -> Connect:
    """Sources of one entity, as ``operations.rebuild`` wants them."""

    def make(plan: reindex.ReindexPlan | None) -> PostgresSource:
        if plan is None:
            return PostgresSource(entity, dsn)
        return PostgresSource(entity, dsn, epoch=plan.epoch, identity=plan.identity)

    return make


def fresh(name: str = "locations", key: tuple[str, ...] = ("location_id",)) -> Entity:
    """An entity that has not read its files yet."""
    return Entity(name=name, source="postgres", key=key, freshness={"hours": 3})


def with_dsn(dsn: str, **changes: Any) -> str:
    """A connection address with some parts changed."""
    return conninfo.make_conninfo(dsn, **changes)


def insert(owner: psycopg.Connection[Any], location_id: int, name: str = "Somewhere", **columns: Any) -> None:
    """One row of ``locations``; an existing one is replaced."""
    row = {"location_id": location_id, "name": name, "country": "DE", "latitude": 52.5, "longitude": 13.4, **columns}
    names = ", ".join(row)
    places = ", ".join(["%s"] * len(row))
    changed = ", ".join(f"{column} = EXCLUDED.{column}" for column in row)
    query = f"INSERT INTO locations ({names}) VALUES ({places}) ON CONFLICT (location_id) DO UPDATE SET {changed}"
    owner.execute(cast(Any, query), list(row.values()))


def position(n: int) -> str:
    """The n-th of some ordered positions."""
    return f"0001.c{n:020d}.{n:020d}.{n:020d}.10000000"


def line(key: str, at: int, **fields: Any) -> Document:
    """A document at the n-th position."""
    sync = {"position": position(at), "deleted": False, "written_at": "2026-01-01T00:00:00.000Z"}
    sync |= cast(Any, {"bucket": 1, "hash_high": at, "hash_low": at})
    return read_document(json.dumps(key).encode(), json.dumps({"sync": sync, **fields}).encode())


def page_of_documents(at: int, documents: list[Document]) -> Page:
    """A page of some documents at the n-th position."""
    return page_of(documents, position=position(at))


def page(at: int, *keys: str, **fields: Any) -> Page:
    """A page of documents at the n-th position."""
    return page_of_documents(at, [line(key, at, **fields) for key in keys])


def tombstones(at: int, *keys: str) -> Page:
    """A page of deleted documents at the n-th position."""
    documents = [tombstone(key, position=position(at), bucket=1, written_at="2026-01-01T00:00:00.000Z") for key in keys]
    return page_of(documents, position=position(at))


def never(rejection: Rejection) -> None:
    """For writes in which nothing may be rejected."""
    raise AssertionError(rejection)


def start_mortal(folder: Path) -> local_opensearch.Server:
    """The OpenSearch that tests kill, for the first time or again: on its data and its port."""
    return local_opensearch.start(folder, heap="512m")


def emptied(server: local_opensearch.Server) -> Client:
    """A client of an OpenSearch, without any index."""
    client = connect(server.url)
    for name in client.request("GET", "/_all", params={"expand_wildcards": "all"}):
        client.request("DELETE", f"/{name}")
    return client


def make_index(
    client: Client, entity: Entity, run_id: str = "build", *, joined: bool = True, identity: str = "", shards: int = 1
) -> str:
    """An index of a build, in the write set unless told otherwise."""
    source = {**SOURCE, "identity": identity} if identity else SOURCE
    number = shards if shards > 1 else None
    made = creation.find_or_create(EntityIndexes(client, entity), run_id=run_id, source=source, number_of_shards=number)
    name = made.name
    if joined:
        aliases.join(EntityIndexes(client, entity), name)
    return name


def make_red_index(client: Client, entity: Entity, run_id: str = "build") -> str:
    """An index of a build in the write set whose primary shard may be nowhere."""
    name = f"{entity.name}-20260101t000000-{secrets.token_hex(4)}"
    settings = {**entity.index_body["settings"], "index.routing.allocation.include._name": "nowhere"}
    body = {"settings": settings, "mappings": {**entity.index_body["mappings"], "_meta": {"build": run_id}}}
    client.request("PUT", f"/{name}", body=body, params={"wait_for_active_shards": "0"})
    aliases.join(EntityIndexes(client, entity), name)
    return name


def serve(client: Client, entity: Entity, run_id: str = "blue", blue: str | None = None, identity: str = "") -> str:
    """An index that was swapped in."""
    name = make_index(client, entity, run_id, identity=identity)
    aliases.swap(EntityIndexes(client, entity), blue=blue, green=name)
    return name


def rebuild(
    client: Client,
    connect_source: Callable[[reindex.ReindexPlan | None], Source],
    reports: Path,
    *,
    run_id: str = "",
    **options: Any,
) -> dict[str, Any]:
    """One more reindex, without Airflow. Returns its report."""
    with closing(connect_source(None)) as source:
        indexes = EntityIndexes(client, source.entity)
    run_id = run_id or f"test/{time.monotonic_ns()}"
    return asdict(workflows.rebuild(indexes, connect_source, run_id, reports, workflows.Options(**options)))


def documents(client: Client, index: str) -> dict[str, dict[str, Any]]:
    """All documents of an index, tombstones too, refreshed."""
    client.request("POST", f"/{index}/_refresh")
    answer = client.request("POST", f"/{index}/_search", body={"size": 10_000})
    return {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}


def living(client: Client, index: str) -> dict[str, dict[str, Any]]:
    """The documents of an index without tombstones and without ``sync``."""
    found = documents(client, index)
    return {
        key: {k: v for k, v in doc.items() if k != "sync"} for key, doc in found.items() if not doc["sync"]["deleted"]
    }


def names(client: Client, entity: Entity) -> list[str]:
    """All physical indexes of an entity."""
    return [index.name for index in EntityIndexes(client, entity).all()]


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
