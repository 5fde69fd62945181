"""Searches of an index with several shards: the same hits in the same order, and exact counts."""

from collections import Counter
from typing import Any

import pytest

from search_api.caller import EveryTenant
from search_api.query import build
from searchsync.catalog import Entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests.integration.search_api.test_queries import (
    ACME,
    OWNERS,
    SORTS,
    Api,
    build_index,
    places,  # noqa: F401 - a fixture
)
from tests.steps import line, make_index, never, page_of_documents


@pytest.fixture
def both(client: Client, places: Entity) -> tuple[Api, Api]:  # noqa: F811
    """The same documents in one shard, and in three."""
    names = [build_index(client, places, f"of-{shards}", list(OWNERS), shards) for shards in (1, 3)]
    return Api(client, places, names[0]), Api(client, places, names[1])


def scored(api: Api, query: str) -> list[tuple[str, Any]]:
    return [(hit["id"], hit.get("score")) for page in api.pages(EveryTenant(), query) for hit in page]


def test_the_order_of_hits_is_that_of_one_shard(both: tuple[Api, Api]) -> None:
    """A score that came of a shard's own statistics would put a worse hit of another shard first, or skip a page."""
    one, three = both
    for query in [*SORTS, "q=town+3", "q=twon+3", "q=to", "q=stadt+%3C7%3E", "q=town&country=DE"]:
        assert scored(three, f"{query}&limit=25") == scored(one, f"{query}&limit=25"), query
    assert [hit["id"] for hit in three.suggest(ACME, "to")] == [hit["id"] for hit in one.suggest(ACME, "to")]


def test_facets_are_exact_where_shards_have_other_frequent_values(client: Client, places: Entity) -> None:  # noqa: F811
    """Each shard tells only its most frequent values: one that is the twentieth of all may be in no shard's list."""
    index = make_index(client, places, "facets", shards=3)
    countries = [f"c{n:03d}" for n in range(300) for _ in range(1 + n % 7)]
    lines = [line(str(n), 1, location_id=n, country=country, owner="acme") for n, country in enumerate(countries)]
    writer.load(Index(client, index), [page_of_documents(1, lines)], on_rejected=never)
    creation.make_searchable(EntityIndexes(client, places), index)
    found = Api(client, places, index).search(ACME, "facets=country&limit=1")["facets"]["country"]
    counts = Counter(countries)
    expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: build.FACET_VALUES]
    assert [(one["value"], one["count"]) for one in found] == expected
