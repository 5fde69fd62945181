"""What people type finds what they mean, with the mappings and the query of the product on a real OpenSearch."""

from typing import Any

import pytest

from search_api.caller import EveryTenant
from search_api.query import build, parse
from search_api.query.searchable import Searchable
from searchsync.catalog import Entity, entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests.steps import line, make_index, never, page_of_documents

PLACES: list[tuple[str, int, str, list[str]]] = [
    ("Berlin", 3_426_354, "DE.16", ["Berlín", "Берлин", "Berolinum"]),
    ("Berlin", 18_000, "US.CT", []),
    ("Bergen", 213_585, "NO.46", ["Björgvin"]),
    ("Berlingerode", 1_215, "DE.15", []),
    ("Merlin", 1_600, "US.OR", []),
    ("Springfield", 170_188, "US.MO", []),
    ("Springfield", 114_394, "US.IL", []),
    ("Munich", 1_260_391, "DE.02", ["München", "Minga", "Monaco di Baviera"]),
    ("Monaco", 32_965, "MC", []),
    ("New York City", 8_175_133, "US.NY", ["New York", "Nueva York"]),
    ("York", 153_717, "GB.ENG", ["Eboracum"]),
    ("Stratford-upon-Avon", 27_455, "GB.ENG", []),
    ("Łódź", 768_755, "PL.74", ["Lodz"]),
    ("北京市", 18_960_744, "CN.22", ["Beijing", "Peking"]),
]
PEOPLE = ["Søren Müller", "Ada M. Lovelace", "Ada Loveless", "Grace Hopper", "Łucja Zieliński", "Uma Kim", "Kim Umaro"]
MORE = 300
"""Documents that nobody looks for; their places are larger than most."""

OF_PLACES: dict[str, list[int]] = {
    "Berlin": [0, 1], "  BERLÍN ": [0], "берлин": [0], "Nueva York": [9], "Monaco": [8, 7], "Lodz": [12],
    "Peking": [13], "北京": [13], "Ber": [0, 2, 1, 3], "Munch": [7],
    "York": [10, 9],  # the whole name before a part of a greater one's
    "Belrin": [0], "Brlin": [0], "Berrlin": [0], "Nerlin": [0], "erlin": [0], "Berlim": [0],
    "Berlin CT": [1], "Springfield": [5, 6], "Springfield IL": [6], "us.il springfield": [6], "Munchen, DE": [7],
    "stratford avon": [11], "Stratfrod upon Avon": [11],
}  # fmt: skip
OF_PEOPLE: dict[str, list[int]] = {
    "Søren Müller": [0], "soren muller": [0], "Müller Søren": [0], "Müller, Søren": [0], "Ada Lovelace": [1],
    "Lovelace Ada": [1], "Grace B. Hopper": [3], "Graec Hopper": [3], "Hoper Grace": [3], "Lucja Zielinksi": [4],
    "Uma Kim": [5], "Kim Uma": [5, 6], "soren zurich": [0], "hopper go": [3],
}  # fmt: skip
"""What is typed, and the first hits."""

LONG = ("北" * 500, "北 " * 249 + "x", "a-" * 250, "x" * 500, "ab " * 166, '"}}],"(a+)+$ *:* ~9', "🏔 ?!", "\u2028")


@pytest.fixture
def places(client: Client, locations: Entity) -> str:
    rows = [*PLACES, *((f"Wanderstadt {n}", 200_000 + n, "DE.01", [f"Anders {n}"]) for n in range(MORE))]
    documents = [
        {"location_id": n, "name": name, "population": people, "region": region, "country": region[:2],
         "alternate_names": others, "coordinates": {"lat": 50.0, "lon": n % 90}}
        for n, (name, people, region, others) in enumerate(rows)
    ]  # fmt: skip
    return filled(client, locations, documents)


@pytest.fixture
def people(client: Client) -> str:
    names = [*PEOPLE, *(f"Person {n}" for n in range(MORE))]
    return filled(client, entity("members"), [{"name": name, "city": "Zürich", "skills": ["go"]} for name in names])


def filled(client: Client, of: Entity, documents: list[dict[str, Any]]) -> str:
    index = make_index(client, of)
    lines = [line(str(n), 1, **document) for n, document in enumerate(documents)]
    assert writer.load(Index(client, index), [page_of_documents(1, lines)], on_rejected=never).written == len(lines)
    creation.make_searchable(EntityIndexes(client, of), index)
    return index


def found(client: Client, index: str, name: str, **asked: str) -> list[int]:
    """Ids of the first hits, as the API asks for them."""
    searchable = Searchable.of(entity(name))
    body = build.search_body(searchable, parse.parse(searchable, [*asked.items()]), EveryTenant())
    return [int(hit["_id"]) for hit in client.request("POST", f"/{index}/_search", body=body)["hits"]["hits"]]


def wrong(client: Client, index: str, name: str, wanted: dict[str, list[int]]) -> dict[str, list[int]]:
    """What is found for the texts that do not find first what they should."""
    hits = {q: found(client, index, name, q=q) for q in wanted}
    return {q: hits[q] for q, first in wanted.items() if hits[q][: len(first)] != first}


def test_a_place_is_found_by_what_people_type(client: Client, places: str) -> None:
    assert not wrong(client, places, "locations", OF_PLACES)
    # filters and a circle narrow it
    assert found(client, places, "locations", q="Berlin", country="US") == [1, 4]
    assert found(client, places, "locations", q="Springfield", near="50,6,10") == [6]
    assert found(client, places, "locations", q="Sprngfield", near="50,0,1000", sort="distance") == [5, 6]


def test_a_person_is_found_by_what_people_type(client: Client, people: str) -> None:
    assert not wrong(client, people, "members", OF_PEOPLE)
    assert not found(client, people, "members", q="Ada B. Hopper")


def test_no_text_is_refused(client: Client, places: str) -> None:
    """A text of 500 characters may have as many words; OpenSearch refuses a query of more than 1,024 clauses."""
    hits = [found(client, places, "locations", q=q) for q in LONG]
    assert hits[:2] == [[13], [13]]
