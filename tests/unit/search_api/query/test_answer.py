"""The answer is OpenSearch's, whole or not at all; documents go through byte for byte."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from search_api.caller import EveryTenant
from search_api.problems import Problem
from search_api.query import answer
from search_api.query.cursor import Cursors, Page
from search_api.query.parse import parse
from tests.search_requests import LOCATIONS

CURSORS = Cursors([b"k" * 32], clock=lambda: 0.0)
DOCUMENT = b'{ "name":"\\u00e9\xc3\xa9", "rate":1.10,  "huge":123456789012345678901234567890, "name":"twice" }'


def raw(hits: bytes = b"", *, failed: int = 0, timed_out: bool = False, aggs: dict[str, Any] | None = None) -> bytes:
    more = b',"aggregations":' + json.dumps(aggs).encode() if aggs else b""
    shards = json.dumps({"total": 1, "successful": 1 - failed, "skipped": 0, "failed": failed}).encode()
    return (
        b'{"took":3,"timed_out":' + str(timed_out).lower().encode() + b',"_shards":' + shards + b',"hits":{"total":'
        b'{"value":10000,"relation":"gte"},"max_score":null,"hits":[' + hits + b"]}" + more + b"}"
    )


def hit(n: int, **more: Any) -> bytes:
    rest = b"".join(f',"{name}":{json.dumps(value)}'.encode() for name, value in more.items())
    return f'{{"_index":"i","_id":"{n}","_score":1.5,"_source":'.encode() + DOCUMENT + rest + b"}"


def page(query: list[tuple[str, str]]) -> Page:
    return Page(parse(LOCATIONS, query), EveryTenant(), "locations-1")


def answered(asked: Page, body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.search_answer(LOCATIONS, asked, body, CURSORS))
    return found


def test_documents_are_passed_on_byte_for_byte() -> None:
    """Decoding would cost most of the time, and round what JavaScript does not round."""
    found = answer.search_answer(LOCATIONS, page([]), raw(hit(1)), CURSORS)
    assert b'"document":' + DOCUMENT + b"}" in found
    assert b'"document":' + DOCUMENT + b"}" in answer.get_answer(raw(hit(1)))
    assert b'"document":' + DOCUMENT + b"}" in answer.suggest_answer(raw(hit(1)))


def test_an_answer_has_what_people_need() -> None:
    counted = {
        "active": {"buckets": [{"key": 1, "key_as_string": "true", "doc_count": 4}]},
        "region": {"doc_count": 9, "values": {"buckets": [{"key": "de.11", "doc_count": 4}], "sum_other_doc_count": 1}},
    }
    asked = page([("q", "a"), ("near", "1,1,1"), ("highlight", "true")])
    found = answered(asked, raw(hit(1, sort=[1.5, 2, 0.12345], highlight={"name": ["<em>a</em>"]}), aggs=counted))
    assert found["total"] == {"value": 10000, "relation": "gte"}
    assert (found["took_ms"], found["next_cursor"]) == (3, None)
    (shown,) = found["hits"]
    assert (shown["id"], shown["score"], shown["distance_km"]) == ("1", 1.5, 0.123)
    assert shown["highlights"] == {"name": ["<em>a</em>"]}
    assert found["facets"] == {
        "active": [{"value": True, "count": 4}],
        "region": [{"value": "de.11", "count": 4}],
    }


@pytest.mark.parametrize("body", [raw(timed_out=True), raw(failed=1)])
def test_a_part_of_an_answer_is_none(body: bytes) -> None:
    """Nobody could tell it from the whole: what lacks may be what was looked for. It would be kept, too."""
    for make in (
        lambda: answered(page([]), body),
        lambda: answer.get_answer(body),
        lambda: answer.suggest_answer(body),
    ):
        with pytest.raises(Problem) as caught:
            make()
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


def test_what_is_not_there_and_what_is_anothers_are_the_same() -> None:
    with pytest.raises(Problem) as caught:
        answer.get_answer(raw())
    assert caught.value.status == 404


def test_the_next_page_begins_after_the_last_hit() -> None:
    asked = page([("limit", "2"), ("sort", "name")])
    found = answered(asked, raw(hit(1, sort=["a", 1]) + b"," + hit(2, sort=["b", 9007199254740993])))
    again = replace(asked.request, cursor=found["next_cursor"])
    opened = CURSORS.open(again, EveryTenant())
    assert opened
    assert (opened.page, opened.after, opened.index) == (2, ["b", 9007199254740993], "locations-1")
    assert answered(asked, raw(hit(1, sort=["a", 1])))["next_cursor"] is None
