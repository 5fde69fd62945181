"""Reads of an index fetch what is needed, and nothing else."""

import json
from pathlib import Path

import psycopg
import pytest

from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, fingerprints
from searchsync.compare.differences import Effort
from searchsync.writing import writer
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.steps import Connect, insert, line, make_index, never, page, position, rebuild

LONG = "x" * 50_000


@pytest.fixture
def received(proxy: OpenSearchProxy) -> list[int]:
    """Bytes of each answer to a search or the next batch of one."""
    sizes: list[int] = []

    def act(_: Request, forward: Forward) -> Answer:
        answer = forward()
        sizes.append(len(answer.body))
        return answer

    proxy.add("POST /.*_search", act, times=None)
    return sizes


def test_a_scan_for_ids_fetches_no_document(
    client: Client, faulty: Client, received: list[int], locations: Entity
) -> None:
    name = make_index(client, locations)
    writer.compare_and_set(Index(client, name), page(1, "1", "2", alternate_names=LONG), on_rejected=never)
    Index(client, name).refresh()
    hits = list(Index(faulty, name).scroll({"match_all": {}}))
    assert [hit["_id"] for hit in hits] == ["1", "2"]
    assert not any("_source" in hit for hit in hits)
    assert sum(received) < 5_000
    (first, _) = Index(faulty, name).scroll({"match_all": {}}, source=["sync.position"])
    assert first["_source"] == {"sync": {"position": position(1)}}


def test_the_keys_to_compare_are_found_without_their_documents(
    client: Client,
    faulty: Client,
    received: list[int],
    owner: psycopg.Connection,
    connect_source: Connect,
    reports: Path,
) -> None:
    for key in range(1, 4):
        insert(owner, key, alternate_names=[LONG])
    name = rebuild(client, connect_source, reports)["index"]
    source = connect_source(None)
    report = differences.find(
        EntityIndexes(faulty, source.entity).get(name),
        source,
        effort=Effort(sample=differences.LARGEST_SAMPLE + 1, grace=0.0),
    )
    source.close()
    assert (report.sampled, report.findings) == (3, [])
    assert sum(received) < len(LONG)


@pytest.mark.parametrize(("at_once", "requests"), [(2_000_000, 1), (3, 2), (1, 6)])
def test_sums_of_an_index_of_any_size_are_asked_for_in_parts(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    requests: int,
) -> None:
    """One request for all would be cut after 60 seconds, and begun again."""
    name = make_index(client, locations)
    for key, bucket in enumerate((0, 1, 511, 512, 1023, 5000)):
        document = json.loads(line(str(key), key + 1).source)
        document["sync"]["bucket"] = bucket
        client.request("PUT", f"/{name}/_doc/{key}", body=document)
    Index(client, name).refresh()
    monkeypatch.setattr(fingerprints, "SUMMED_AT_ONCE", at_once)
    sums = fingerprints.index_sums(Index(faulty, name), locations)
    assert sums == {bucket: (1, n, n) for n, bucket in enumerate((0, 1, 511, 512, 1023, 5000), start=1)}
    sent = [asked for asked in proxy.requests if "_search" in asked]
    assert requests + 1 <= len(sent) <= requests + 2  # one counts
