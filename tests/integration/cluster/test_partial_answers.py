"""OpenSearch answers 200 for a part of an index, and says so by two numbers only: no such answer is ever taken."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from searchsync.catalog import Entity
from searchsync.cli import tables
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, fingerprints, reconcile
from searchsync.compare.differences import Effort
from searchsync.compare.fingerprints import Yardstick
from searchsync.compare.reconcile import Allowed
from searchsync.deadline import Deadline
from searchsync.errors import IndexUnavailable
from searchsync.operations import purge, reindex, smoke
from searchsync.operations.reindex import ReindexPlan
from searchsync.quality import health
from searchsync.sources.postgres import PostgresSource
from searchsync.writing import writer
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.steps import SOURCE, line, make_index, never, page, tombstones, until

NDJSON = {"content-type": "application/x-ndjson"}
KEYS = [str(key) for key in range(1, 41)]


@dataclass
class Part:
    """The live index: of its two shards one has no copy, and with it half of its documents and tombstones."""

    client: Client
    entity: Entity
    source: PostgresSource
    live: str
    green: str

    @property
    def plan(self) -> ReindexPlan:
        return ReindexPlan(run_id="green", blue=self.live, epoch=1, identity=str(SOURCE["identity"]))


@pytest.fixture
def part(client: Client, locations: Entity, source: PostgresSource) -> Part:
    name = f"{locations.name}-20260101t000000-{secrets.token_hex(4)}"
    one_of_two = {"number_of_shards": 2, "auto_expand_replicas": "false", "number_of_replicas": 0}
    one_of_two |= {"index.routing.allocation.total_shards_per_node": 1}
    body = {"settings": {**locations.index_body["settings"], **one_of_two}}
    body["mappings"] = {**locations.index_body["mappings"], "_meta": {"build": "blue", "source": SOURCE}}
    client.request("PUT", f"/{name}", body=body, params={"wait_for_active_shards": "0"})
    until(lambda: client.request("GET", f"/_cluster/health/{name}")["active_shards"] == 1, "its one shard is there")
    aliases.join(EntityIndexes(client, locations), name)
    aliases.swap(EntityIndexes(client, locations), blue=None, green=name)
    lines = [line(key, int(key)) for key in KEYS]
    gone = b'"deleted": true'
    sent = [b'{"index":{"_id":%b}}\n%b\n' % (one.id, one.source.replace(b'"deleted": false', gone)) for one in lines]
    path = f"/{name}/_bulk?timeout=100ms&refresh=true"
    taken = client.transport.perform_request("POST", path, body=b"".join(sent), headers=NDJSON)["items"]
    assert 5 < sum(item["index"]["status"] == 201 for item in taken) < 35
    return Part(client, locations, source, name, make_index(client, locations, "green"))


def _scroll(part: Part) -> object:
    return list(Index(part.client, part.live).scroll({"match_all": {}}))


def _reconcile(part: Part) -> object:
    index = Index(part.client, part.live)
    write, allowed = reconcile.to_one(index), Allowed(10, "")
    yardstick = Yardstick(part.source)
    return reconcile.make_equal(index, yardstick, write=write, allowed=allowed, on_rejected=lambda _: None)


READS: dict[str, Callable[[Part], object]] = {
    "search": lambda part: Index(part.client, part.live).search({}),
    "search through the alias": lambda part: Index(part.client, part.entity.name).search({}),
    "count": lambda part: Index(part.client, part.live).count(),
    "scroll": _scroll,
    "documents by id": lambda part: Index(part.client, part.live).documents(KEYS, source="sync"),
    "refresh": lambda part: Index(part.client, part.live).refresh(),
    "highest position": lambda part: Index(part.client, part.live).highest_position(fresh=False),
    "copy_tombstones": lambda part: reindex.Reindex(
        EntityIndexes(part.client, part.entity), part.plan, part.green
    ).copy_tombstones(),
    "verify": lambda part: reindex.Reindex(EntityIndexes(part.client, part.entity), part.plan, part.live).verify(),
    "sums": lambda part: fingerprints.index_sums(Index(part.client, part.live), part.entity),
    "hashes": lambda part: fingerprints.index_hashes(Index(part.client, part.live), part.entity, [1]),
    "gate": _reconcile,
    "smoke queries": lambda part: smoke.run(Index(part.client, part.live), part.entity),
    "comparison": lambda part: differences.find(
        EntityIndexes(part.client, part.source.entity).get(part.live), part.source, effort=Effort(grace=0.0)
    ),
    "count_difference": lambda part: health.count_difference(
        cast(Any, SimpleNamespace(entity=part.entity, count=lambda: 0)), Index(part.client, part.live)
    ),
    "tombstones to purge": lambda part: purge.count(Index(part.client, part.live), datetime.now(UTC)),
    "purge": lambda part: purge.purge(EntityIndexes(part.client, part.entity), part.live, datetime.now(UTC)),
}


@pytest.mark.parametrize("read", READS)
def test_an_answer_without_a_shard_is_refused(part: Part, read: str) -> None:
    with pytest.raises(IndexUnavailable):
        READS[read](replace(part, client=part.client.until(Deadline.within(1.0))))
    assert Index(part.client, part.green).count() == 0
    part.source.close()


def test_a_listing_says_that_it_does_not_know(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ANSWER_SECONDS", 0.5)
    (found,) = (cells for cells in tables.lines([EntityIndexes(part.client, part.entity)]) if cells[0] == part.live)
    assert found[2:5] == ("?", "?", "?")
    assert found[-1].startswith("no: it is red")
    part.source.close()


def test_a_listing_says_what_it_knows(client: Client, locations: Entity, whole: str) -> None:
    """OpenSearch says ``terminated_early`` of an aggregation over all documents, and means no part of them."""
    for written in (page(1, "1", "2"), tombstones(2, "2")):
        writer.compare_and_set(Index(client, whole), written, on_rejected=never)
    Index(client, whole).refresh()
    (found,) = tables.lines([EntityIndexes(client, locations)])
    assert (found[0], *found[2:4]) == (whole, "1", "1")
    assert "?" not in found


def test_a_shard_that_is_away_for_a_moment_is_waited_for(part: Part, faulty: Client, proxy: OpenSearchProxy) -> None:
    def comes_back() -> None:
        release = {"index.routing.allocation.total_shards_per_node": 2}
        part.client.request("PUT", f"/{part.live}/_settings", body=release)

    proxy.after("POST /.*/_search", comes_back)
    assert 5 < Index(faulty, part.live).count() < 35
    part.source.close()


@pytest.fixture
def whole(client: Client, locations: Entity) -> str:
    return make_index(client, locations)


SHARDS = {"total": 3, "successful": 3, "skipped": 0, "failed": 0}


@pytest.mark.parametrize(
    "said",
    [
        {"timed_out": True},
        {"_shards": {**SHARDS, "successful": 2, "failed": 1}},
        {"_shards": {**SHARDS, "successful": 2}},
        {"_shards": {**SHARDS, "successful": 2, "skipped": 2}},  # skipped ones are among the successful
    ],
)
def test_every_word_for_part_of_the_index_is_understood(
    faulty: Client, proxy: OpenSearchProxy, whole: str, said: dict[str, Any]
) -> None:
    def act(_: Request, forward: Forward) -> Answer:
        answer = json.loads(forward().body)
        return Answer(200, json.dumps(answer | {"_shards": SHARDS} | said).encode())

    for read in (Index.count, lambda index: list(index.scroll({"match_all": {}}))):
        proxy.add("POST /.*/_search", act)
        with pytest.raises(IndexUnavailable, match="part of the index"):
            read(Index(faulty, whole))
        assert Index(faulty, whole).count() == 0


def test_shards_that_can_have_no_hit_are_skipped_and_count_as_successful(client: Client, locations: Entity) -> None:
    """What the check of the numbers rests on."""
    mapping = {"properties": {"day": {"type": "date"}}}
    client.request("PUT", "/days", body={"settings": {"number_of_shards": 3}, "mappings": mapping})
    query = {"query": {"range": {"day": {"gt": "2027-01-01"}}}, "size": 0}
    for key in KEYS:
        client.request("PUT", f"/days/_doc/{key}", body={"day": "2026-01-01"})
    client.request("POST", "/days/_refresh")
    answer = Index(client, "days").search(query, {"pre_filter_shard_size": "1"})
    assert answer["_shards"]["skipped"] > 0
    assert answer["_shards"]["successful"] == answer["_shards"]["total"] == 3
