"""The queries of docs/searching.md find what they say, and what the page warns of is true."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests.steps import line, make_index, never, page_of_documents

PAGE = (Path(__file__).parents[3] / "docs" / "searching.md").read_text(encoding="utf-8")
QUERIES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


@pytest.fixture
def searched(client: Client, locations: Entity) -> str:
    index = make_index(client, locations)
    places: list[dict[str, Any]] = [
        {"name": "Gelsenkirchen", "updated_at": "2026-01-31T12:00:00Z"},
        {"name": "Gelsenkirchen-Bulmke", "updated_at": "2026-01-01T00:00:00Z"},
        {"name": "Wolverhampton", "updated_at": "2026-02-01T00:00:00Z"},
    ]
    lines = [line(str(n), 1, location_id=n, country="DE", **place) for n, place in enumerate(places, 1)]
    writer.load(Index(client, index), [page_of_documents(1, lines)], on_rejected=never)
    creation.make_searchable(EntityIndexes(client, locations), index)
    return index


def found(client: Client, index: str, body: dict[str, Any]) -> list[str]:
    return [hit["_id"] for hit in client.request("POST", f"/{index}/_search", body=body)["hits"]["hits"]]


def test_each_query_of_the_page_finds_what_it_says(client: Client, searched: str) -> None:
    answers = [found(client, searched, query) for query in QUERIES]
    typed, misspelt, exact, after, month, rounded = answers
    assert (typed, misspelt[0], exact) == (["1", "2"], "1", ["1"])
    assert after == ["1", "2"]
    assert sorted(month) == sorted(rounded) == ["1", "2"]


def test_what_the_page_warns_of_is_so(client: Client, searched: str) -> None:
    assert found(client, searched, {"query": {"range": {"updated_at": {"lte": "2026-01"}}}}) == ["2"]
    facets = client.request(
        "POST", f"/{searched}/_search", body={"size": 0, "aggs": {"c": {"terms": {"field": "country"}}}}
    )
    assert [bucket["key"] for bucket in facets["aggregations"]["c"]["buckets"]] == ["de"]
