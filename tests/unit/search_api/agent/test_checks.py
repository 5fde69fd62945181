"""What a statement may say: each refusal has its reason, and what is right is not refused."""

from pathlib import Path
from typing import Any

import pytest

from search_api.agent import words
from search_api.agent.checks import MEANINGS, judge
from search_api.agent.evidence import DocumentId, Evidence, Found, Searched
from tests.agent import states

PLACE = {
    "location_id": 2267057,
    "name": "Lisbon",
    "alternate_names": ["Lisboa", "Lissabon"],
    "country": "PT",
    "rate": 75.5,
    "population": 517802,
    "coordinates": {"lat": 38.71667, "lon": -9.13333},
    "updated_at": "2026-01-31T12:00:00Z",
    "site": "https://lisbon.example/visit",
}
MEMBER = {"member_id": "m-0001", "tenant_id": "acme", "name": "Berta Berg", "skills": ["iso-9001", "go"]}


def evidence() -> Evidence:
    places = Found(("Lisbon", "Lisboa", "Lissabon"), PLACE)
    documents = {
        DocumentId("locations", "2267057"): places,
        DocumentId("members", "m-0001"): Found(("Berta Berg",), MEMBER),
    }
    return Evidence(documents, [Searched("locations", {"rate_max": 80}, 12, exact=True)])


def verdict(statement: Any, question: str = "What is below 80?") -> str:
    """The reason of the refusal; empty when it is shown."""
    found = judge({"statements": [statement]}, evidence(), question, "acme")
    assert len(found.shown) + len(found.refused) == 1
    return found.refused[0] if found.refused else ""


@pytest.mark.parametrize(
    "text",
    [
        "Lisbon has a rate of 75.5.",
        "Lisbon has a rate of 75.50, which is below 80.",
        "LISBOA has 517,802 people.",
        "Lissabon (2267057) lies at 38.71667, -9.13333.",
        "Lisbon was updated on 31 January 2026.",
        "Lisbon was updated on 2026-01-31.",
        "Lisbon is in PT; see https://lisbon.example/visit.",
        "Lisbon has the host lisbon.example.",
        "Ｌｉｓｂｏｎ is there.",
        "Lisbon is 1 place.",
        "Lisbon, e.g. its centre, is fine.",
    ],
)
def test_what_stands_in_the_document_is_shown(text: str) -> None:
    assert verdict(states(text, "locations/2267057")) == ""


def test_a_statement_of_several_names_each() -> None:
    both = ("locations/2267057", "members/m-0001")
    assert verdict(states("Berta Berg (m-0001, tenant acme) of the 2 is not Lisbon; she knows ISO-9001.", *both)) == ""
    assert verdict(states("Berta Berg is there.", *both)) == "not-named"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Lisbon has a rate of 75.", "number"),
        ("Lisbon has a rate of 755.", "number"),
        ("Lisbon has half a million (0.5) people.", "number"),
        ("Lisbon has 5 17802 people.", "number"),
        ("Lisbon has ７６ places.", "number"),
        ("Lisbon is X-200.", "identifier"),
        ("Lisbon was updated on 2026-02-01.", "identifier"),
        ("Lisbon is 3rd.", "identifier"),
        ("Lisbon: http://evil.example", "link"),
        ("Lisbon: ftp://x", "link"),
        ("Lisbon: lisbon.example.evil.test", "link"),
        ("Lisbon: [here](x)", "link"),
        ("Lisbon: bon.example", "link"),
        ("Lisbon: ｅｖｉｌ．ｅｘａｍｐｌｅ", "link"),
        ("Lisbon: visit lisbon.example/other", "link"),
        ("Lisbon: data:text/html,x", "link"),
        ("Lisbon is of tenant globex.", "tenant"),
        ("Lisbon is of tenant_id: globex.", "tenant"),
        ("Lisbon is of the tenant.", "tenant"),
        ("Lis\u00adbon Lisbon", "hidden-characters"),
        ("Lisbon\nhas", "hidden-characters"),
        ("Lisbon " * 100, "too-long"),
        ("It has a rate of 75.5.", "not-named"),
    ],
)
def test_what_stands_nowhere_is_refused(text: str, reason: str) -> None:
    assert verdict(states(text, "locations/2267057")) == reason


def test_a_number_of_another_document_is_none_of_this_one() -> None:
    assert verdict(states("Berta Berg has 517802 people.", "members/m-0001")) == "number"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ({"text": "Lisbon."}, "uncited"),
        ({"text": "Lisbon.", "documents": []}, "uncited"),
        ({"text": "Lisbon.", "documents": "locations/2267057"}, "malformed"),
        ({"text": "Lisbon.", "documents": [{"entity": "locations"}]}, "malformed"),
        ({"text": "Lisbon.", "documents": [{"entity": "locations", "id": 2267057}]}, "malformed"),
        ({"text": ["Lisbon."], "documents": []}, "malformed"),
        ({"text": "Lisbon.", "documents": [], "html": "<b>"}, "malformed"),
        ("Lisbon.", "malformed"),
        (None, "malformed"),
        ({"search": 1}, ""),
        ({"search": 1, "text": "", "documents": []}, ""),
        ({"search": 1, "text": "Nothing."}, "malformed"),
        ({"search": 0}, "unknown-search"),
        ({"search": 2}, "unknown-search"),
        ({"search": True}, "malformed"),
        ({"search": "1"}, "malformed"),
        (states("Lisbon.", "members/2267057"), "unknown-document"),
        (states("Lisbon.", *["locations/2267057"] * 21), "too-long"),
    ],
)
def test_a_statement_has_its_form_and_its_sources(statement: Any, reason: str) -> None:
    assert verdict(statement) == reason


@pytest.mark.parametrize("answer", [None, [], {}, {"statements": None}, {"statements": {"text": "x"}}, "x"])
def test_an_answer_of_another_form_is_refused_as_a_whole(answer: Any) -> None:
    found = judge(answer, evidence(), "?", "acme")
    assert (found.shown, found.refused) == ((), ("malformed",))


def test_each_reason_has_its_meaning_in_the_manual() -> None:
    page = (Path(__file__).parents[4] / "docs" / "agent.md").read_text(encoding="utf-8")
    assert [reason for reason in MEANINGS if f"`{reason}`" not in page] == []


def test_an_empty_text_has_no_words() -> None:
    assert words.digits([""]) == words.Digits(frozenset(), frozenset())
    assert words.links("No link here. None at all.") == []
