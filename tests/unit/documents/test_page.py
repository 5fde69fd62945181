"""Pages must be exactly what ``_bulk`` reads, and give back the documents that went in: one form serves all writes."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from searchsync.documents.page import Document, Page, create_body, page_of, sync_of, tombstone, with_position

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_page_is_two_lines_a_document_and_ends_with_a_newline() -> None:
    body = create_body(
        [
            Document(b'"1"', b'{"sync":{},"name":"a"}', "p", deleted=False),
            Document(b'"\\u20ac"', b'{"sync":{}}', "p", deleted=False),
        ]
    )
    assert body == b'{"create":{"_id":"1"}}\n{"sync":{},"name":"a"}\n{"create":{"_id":"\\u20ac"}}\n{"sync":{}}\n'


@settings(max_examples=50)
@given(st.lists(st.tuples(KEYS, JSON_VALUES, st.booleans()), max_size=8))
def test_no_document_is_lost_between_page_and_bytes(documents: list[tuple[str, object, bool]]) -> None:
    for ascii_only in (True, False):
        gone_in = [
            Document(
                json.dumps(key, ensure_ascii=ascii_only).encode(),
                json.dumps({"sync": {"position": "p", "deleted": gone}, "v": v}, ensure_ascii=ascii_only).encode(),
                "p",
                gone,
            )
            for key, v, gone in documents
        ]
        page = page_of(gone_in, position="p")
        assert list(page.documents()) == gone_in
        assert page.body.count(b"\n") == 2 * page.count == 2 * len(documents)
        # A source that renders in the database gives the same documents as bytes. They carry no blank there.
        compact = [one._replace(source=one.source.replace(b'"deleted": ', b'"deleted":')) for one in gone_in]
        assert list(Page(create_body(compact), len(compact), "p").documents()) == compact


def test_empty_page_has_no_lines() -> None:
    assert list(Page(b"", 0, "p").documents()) == []


def test_tombstone_keeps_nothing_but_sync() -> None:
    line = tombstone('a"b', position="0001.x", bucket=7, written_at="2026-01-01T00:00:00.000Z")
    assert json.loads(line.id) == 'a"b'
    assert json.loads(line.source).keys() == {"sync"}
    assert sync_of(line) == {
        "position": "0001.x",
        "deleted": True,
        "written_at": "2026-01-01T00:00:00.000Z",
        "bucket": 7,
        "hash_high": 0,
        "hash_low": 0,
    }


def test_a_position_is_raised_to_another_of_ours_and_to_nothing_else() -> None:
    """What stands in a parked message, or in a document that somebody else wrote, may be any text."""
    low, high = (f"{second:010d}.{0:040d}" for second in (5, 9))
    line = tombstone("a", position=low, bucket=7, written_at="2026-01-01T00:00:00.000Z")
    assert with_position(line, at_least=high).position == high
    assert with_position(line, at_least=f"{high}+").position == f"{high}+"
    for other in ("", low, "zzz", f"{high}x", "9" * 60):
        assert with_position(line, at_least=other) == line
