"""OpenSearch answers 200 for a part of an index, and says so by two numbers only: no such answer is ever taken."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import opensearchpy
import pytest

from searchsync.catalog import Entity
from searchsync.cli import tables
from searchsync.cluster import aliases, indexes, reads
from searchsync.cluster.client import request
from searchsync.compare import differences, fingerprints, reconcile
from searchsync.deadline import within
from searchsync.errors import IndexUnavailable
from searchsync.operations import purge, reindex, smoke
from searchsync.operations.reindex import Plan
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

    client: opensearchpy.OpenSearch
    entity: Entity
    source: PostgresSource
    live: str
    green: str

    @property
    def plan(self) -> Plan:
        return Plan(build="green", blue=self.live, epoch=1, identity=str(SOURCE["identity"]))


@pytest.fixture
def part(client: opensearchpy.OpenSearch, locations: Entity, source: PostgresSource) -> Part:
    name = f"{locations.name}-20260101t000000-{secrets.token_hex(4)}"
    one_of_two = {"number_of_shards": 2, "auto_expand_replicas": "false", "number_of_replicas": 0}
    one_of_two |= {"index.routing.allocation.total_shards_per_node": 1}
    body = {"settings": {**locations.index_body["settings"], **one_of_two}}
    body["mappings"] = {**locations.index_body["mappings"], "_meta": {"build": "blue", "source": SOURCE}}
    request(client, "PUT", f"/{name}", body=body, params={"wait_for_active_shards": "0"})
    until(lambda: request(client, "GET", f"/_cluster/health/{name}")["active_shards"] == 1, "its one shard is there")
    aliases.join(client, locations, name)
    aliases.swap(client, locations, blue=None, green=name)
    lines = [line(key, int(key)) for key in KEYS]
    gone = b'"deleted": true'
    sent = [b'{"index":{"_id":%b}}\n%b\n' % (one.id, one.source.replace(b'"deleted": false', gone)) for one in lines]
    path = f"/{name}/_bulk?timeout=100ms&refresh=true"
    taken = client.transport.perform_request("POST", path, body=b"".join(sent), headers=NDJSON)["items"]
    assert 5 < sum(item["index"]["status"] == 201 for item in taken) < 35
    return Part(client, locations, source, name, make_index(client, locations, "green"))


def _scroll(part: Part) -> object:
    return list(reads.scroll(part.client, part.live, {"match_all": {}}))


def _reconcile(part: Part) -> object:
    write = reconcile.to_one(part.client, part.live)
    options: dict[str, Any] = {"write": write, "max_reconciled": 10, "confirm": "", "on_rejected": lambda _: None}
    return reconcile.make_equal(part.client, part.source, part.live, **options)


READS: dict[str, Callable[[Part], object]] = {
    "search": lambda part: reads.search(part.client, part.live, {}),
    "search through the alias": lambda part: reads.search(part.client, part.entity.name, {}),
    "count": lambda part: reads.count(part.client, part.live),
    "scroll": _scroll,
    "documents by id": lambda part: reads.documents(part.client, part.live, KEYS, source="sync"),
    "refresh": lambda part: indexes.refresh(part.client, part.live),
    "highest position": lambda part: indexes.highest_position(part.client, part.live, fresh=False),
    "copy_tombstones": lambda part: reindex.copy_tombstones(part.client, part.entity, part.plan, part.green),
    "verify": lambda part: reindex.verify(part.client, part.entity, part.plan, part.live),
    "sums": lambda part: fingerprints.index_sums(part.client, part.entity, part.live),
    "hashes": lambda part: fingerprints.index_hashes(part.client, part.entity, part.live, [1]),
    "gate": _reconcile,
    "smoke queries": lambda part: smoke.run(part.client, part.entity, part.live),
    "comparison": lambda part: differences.find(part.client, part.source, part.live, grace=0.0),
    "count_difference": lambda part: health.count_difference(
        part.client, cast(Any, SimpleNamespace(entity=part.entity, count=lambda: 0)), part.live
    ),
    "tombstones to purge": lambda part: purge.count(part.client, part.live, datetime.now(UTC)),
    "purge": lambda part: purge.purge(part.client, part.entity, part.live, datetime.now(UTC)),
}


@pytest.mark.parametrize("read", READS)
def test_an_answer_without_a_shard_is_refused(part: Part, read: str) -> None:
    with within(1.0), pytest.raises(IndexUnavailable):
        READS[read](part)
    assert reads.count(part.client, part.green) == 0
    part.source.close()


def test_a_listing_says_that_it_does_not_know(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ANSWER_SECONDS", 0.5)
    (found,) = (cells for cells in tables.lines(part.client, [part.entity]) if cells[0] == part.live)
    assert found[2:5] == ("?", "?", "?")
    assert found[-1].startswith("no: it is red")
    part.source.close()


def test_a_listing_says_what_it_knows(client: opensearchpy.OpenSearch, locations: Entity, whole: str) -> None:
    """OpenSearch says ``terminated_early`` of an aggregation over all documents, and means no part of them."""
    for written in (page(1, "1", "2"), tombstones(2, "2")):
        writer.compare_and_set(client, whole, written, on_rejected=never)
    indexes.refresh(client, whole)
    (found,) = tables.lines(client, [locations])
    assert (found[0], *found[2:4]) == (whole, "1", "1")
    assert "?" not in found


def test_a_shard_that_is_away_for_a_moment_is_waited_for(
    part: Part, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy
) -> None:
    def comes_back() -> None:
        release = {"index.routing.allocation.total_shards_per_node": 2}
        request(part.client, "PUT", f"/{part.live}/_settings", body=release)

    proxy.after("POST /.*/_search", comes_back)
    assert 5 < reads.count(faulty, part.live) < 35
    part.source.close()


@pytest.fixture
def whole(client: opensearchpy.OpenSearch, locations: Entity) -> str:
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
    faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, whole: str, said: dict[str, Any]
) -> None:
    def act(_: Request, forward: Forward) -> Answer:
        answer = json.loads(forward().body)
        return Answer(200, json.dumps(answer | {"_shards": SHARDS} | said).encode())

    for read in (reads.count, lambda client, name: list(reads.scroll(client, name, {"match_all": {}}))):
        proxy.add("POST /.*/_search", act)
        with pytest.raises(IndexUnavailable, match="part of the index"):
            read(faulty, whole)
        assert reads.count(faulty, whole) == 0


def test_shards_that_can_have_no_hit_are_skipped_and_count_as_successful(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    """What the check of the numbers rests on."""
    mapping = {"properties": {"day": {"type": "date"}}}
    request(client, "PUT", "/days", body={"settings": {"number_of_shards": 3}, "mappings": mapping})
    query = {"query": {"range": {"day": {"gt": "2027-01-01"}}}, "size": 0}
    for key in KEYS:
        request(client, "PUT", f"/days/_doc/{key}", body={"day": "2026-01-01"})
    request(client, "POST", "/days/_refresh")
    answer = reads.search(client, "days", query, {"pre_filter_shard_size": "1"})
    assert answer["_shards"]["skipped"] > 0
    assert answer["_shards"]["successful"] == answer["_shards"]["total"] == 3
