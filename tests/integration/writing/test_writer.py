"""The only code that writes documents: an older write never wins, nothing counts twice, nothing is lost in silence."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client, connect
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.page import Page, Rejection, page_of, read_document
from searchsync.errors import BadConnection, EmptyWriteSet, IndexUnavailable, RequestRejected, SearchSyncError
from searchsync.writing import writer
from searchsync.writing.item_outcome import IndexGone
from searchsync.writing.ledger import Ledger
from searchsync.writing.writer import compare_and_set, load
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.steps import documents, line, make_index, never, page, position, serve, tombstones

BULK = r"POST /.*/_bulk\?timeout"
"""A write; what is stored is looked up by another request."""
OVERLOADED = {"error": {"type": "es_rejected_execution_exception", "reason": "rejected execution"}, "status": 429}
PATIENCE = 15.0

pytestmark = pytest.mark.usefixtures("quick_backoff")


# -- rule 1: compare-and-set


def test_older_write_never_overwrites_newer(client: Client, green: str) -> None:
    assert compare_and_set(Index(client, green), page(5, "1", name="new"), on_rejected=never).written == 1
    ledger = compare_and_set(Index(client, green), page(4, "1", name="old"), on_rejected=never)
    assert (ledger.written, ledger.stale) == (0, 1)
    assert documents(client, green)["1"]["name"] == "new"
    assert compare_and_set(Index(client, green), page(6, "1", name="newest"), on_rejected=never).written == 1
    assert documents(client, green)["1"]["name"] == "newest"


def test_equal_position_changes_nothing(client: Client, green: str) -> None:
    compare_and_set(Index(client, green), page(5, "1", name="first"), on_rejected=never)
    assert compare_and_set(Index(client, green), page(5, "1", name="second"), on_rejected=never).stale == 1
    assert documents(client, green)["1"]["name"] == "first"


def test_late_older_write_does_not_resurrect_a_deleted_document(client: Client, green: str) -> None:
    compare_and_set(Index(client, green), page(1, "1", "2", name="here"), on_rejected=never)
    deleted = compare_and_set(Index(client, green), tombstones(3, "1", "never there"), on_rejected=never)
    assert (deleted.read, deleted.tombstoned, deleted.written) == (2, 2, 0)
    late = compare_and_set(Index(client, green), page(2, "1", "never there", name="late"), on_rejected=never)
    assert (late.written, late.stale) == (0, 2)
    found = documents(client, green)
    assert found["1"].keys() == found["never there"].keys() == {"sync"}
    assert compare_and_set(Index(client, green), page(4, "1", name="again"), on_rejected=never).written == 1
    assert compare_and_set(Index(client, green), tombstones(2, "1"), on_rejected=never).stale == 1
    assert documents(client, green)["1"]["name"] == "again"


def test_create_is_decided_by_position_when_something_is_there(client: Client, green: str) -> None:
    compare_and_set(Index(client, green), page(7, "newer", name="live"), on_rejected=never)
    compare_and_set(Index(client, green), page(3, "older", name="live"), on_rejected=never)
    compare_and_set(Index(client, green), tombstones(7, "gone"), on_rejected=never)
    scanned = page(5, "newer", "older", "gone", "free", name="scanned")
    ledger = load(Index(client, green), [scanned], on_rejected=never)
    assert ledger == Ledger(green, read=4, written=2, stale=2)
    found = documents(client, green)
    assert {key: doc.get("name") for key, doc in found.items()} == {
        "newer": "live", "older": "scanned", "gone": None, "free": "scanned",
    }  # fmt: skip


def test_foreign_document_is_replaced(client: Client, green: str) -> None:
    for key, body in (("1", {"name": "foreign"}), ("2", {"sync": {"deleted": False}, "name": "foreign"})):
        client.request("PUT", f"/{green}/_doc/{key}", body=body)
    assert load(Index(client, green), [page(1, "1", "2", name="ours")], on_rejected=never).written == 2
    assert {doc["name"] for doc in documents(client, green).values()} == {"ours"}


def test_concurrent_writers_of_one_key_leave_the_newest(client: Client, green: str) -> None:
    keys = [str(n) for n in range(20)]
    ledgers: list[Ledger] = []

    def write(positions: range) -> None:
        ledgers.extend(
            compare_and_set(Index(client, green), page(at, *keys, name=f"at {at}"), on_rejected=never)
            for at in positions
        )

    threads = [threading.Thread(target=write, args=(range(start, 31, 3),)) for start in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ledger.read for ledger in ledgers) == 30 * len(keys)  # none gave up, each balanced
    assert {doc["name"] for doc in documents(client, green).values()} == {"at 30"}


def test_409_is_sent_again_and_not_taken_for_done(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    conflict = {"update": {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "conflict"}}}
    fault = proxy.answer(BULK, 200, {"errors": True, "items": [conflict, conflict]}, times=2)
    ledger = compare_and_set(Index(faulty, green), page(1, "1", "2", name="x"), on_rejected=never, patience=PATIENCE)
    assert (fault.hits, ledger.written) == (2, 2)
    assert len(documents(client, green)) == 2


# -- rejected documents


POISON: list[tuple[dict[str, Any], str]] = [
    ({"active": "perhaps"}, "mapper_parsing_exception"),
    ({"colour": "red"}, "strict_dynamic_mapping_exception"),
    ({"name": {"first": "x"}}, "mapper_parsing_exception"),
    ({"rate": {"of": 1}}, "mapper_parsing_exception"),
]


@pytest.mark.parametrize(
    "write",
    [writer.compare_and_set, lambda index, page, **options: load(index, [page], **options)],
    ids=["cas", "load"],
)
@pytest.mark.parametrize(("fields", "kind"), POISON, ids=["boolean", "field", "text", "number"])
def test_poison_is_listed_with_its_reason_and_the_rest_is_written(
    client: Client, green: str, fields: dict[str, Any], kind: str, write: Callable[..., Ledger]
) -> None:
    lines = [line("a", 1, name="fine"), line("bad", 1, **fields), line("b", 1, name="fine")]
    rejected: list[Rejection] = []
    ledger = write(Index(client, green), page_of(lines, position=position(1)), on_rejected=rejected.append)
    assert ledger == Ledger(green, read=3, written=2, rejected=1)
    assert [(r.id, r.index, r.type) for r in rejected] == [("bad", green, kind)]
    assert next(iter(fields)) in rejected[0].reason
    assert documents(client, green).keys() == {"a", "b"}


@pytest.mark.parametrize(
    "write",
    [writer.compare_and_set, lambda index, page, **options: load(index, [page], **options)],
    ids=["cas", "load"],
)
def test_document_that_makes_the_whole_request_fail_is_found_by_halving(
    client: Client, green: str, write: Callable[..., Ledger]
) -> None:
    """An ``_id`` over 512 bytes never leaves the PostgreSQL source; other sources and future limits may do the like."""
    lines = [line(str(n), 1, name="fine") for n in range(37)]
    lines.insert(17, line("x" * 513, 1, name="too long an id"))
    rejected: list[Rejection] = []
    ledger = write(Index(client, green), page_of(lines, position=position(1)), on_rejected=rejected.append)
    assert ledger == Ledger(green, read=38, written=37, rejected=1)
    assert [r.id for r in rejected] == ["x" * 513]
    assert "512" in rejected[0].reason
    assert len(documents(client, green)) == 37


def test_source_that_is_not_json_is_rejected_alone(client: Client, green: str) -> None:
    lines = [
        line("a", 1, name="fine"),
        read_document(b'"bad"', b'{"sync":{"position":"' + position(1).encode() + b'"},"name":}'),
    ]
    for write in (compare_and_set, lambda index, page, **options: load(index, [page], **options)):
        rejected: list[Rejection] = []
        ledger = write(Index(client, green), page_of(lines, position=position(1)), on_rejected=rejected.append)
        assert (ledger.read, ledger.rejected) == (2, 1)
        assert [r.id for r in rejected] == ["bad"]


def too_large(limit: int) -> Callable[[Request, Forward], Answer]:
    def act(request: Request, forward: Forward) -> Answer:
        return forward() if len(request.body) <= limit else Answer(413, b"<html>too large</html>", "text/html")

    return act


def test_413_is_halved_until_it_passes(client: Client, faulty: Client, proxy: OpenSearchProxy, green: str) -> None:
    proxy.add(BULK, too_large(2_000), times=None)
    ledger = load(Index(faulty, green), [page(1, *(str(n) for n in range(50)), name="x")], on_rejected=never)
    assert ledger == Ledger(green, read=50, written=50)
    assert len(documents(client, green)) == 50


def test_document_too_large_by_itself_is_rejected(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    proxy.add(BULK, too_large(2_000), times=None)
    lines = [line("a", 1, name="x"), line("large", 1, name="x" * 3_000), line("b", 1, name="x")]
    rejected: list[Rejection] = []
    sent = page_of(lines, position=position(1))
    assert load(Index(faulty, green), [sent], on_rejected=rejected.append) == Ledger(
        green, read=3, written=2, rejected=1
    )
    assert [(r.id, r.type) for r in rejected] == [("large", "content_too_long")]
    assert "413" in rejected[0].reason


def test_write_to_an_alias_without_write_index_is_our_fault(client: Client, green: str, locations: Entity) -> None:
    with pytest.raises(RequestRejected, match="no write index"):
        compare_and_set(Index(client, locations.write_alias), page(1, "1"), on_rejected=never)


# -- an OpenSearch that is busy, away or not itself


def test_overload_of_the_whole_request_is_waited_out(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    fault = proxy.answer(BULK, 429, OVERLOADED, times=3)
    assert load(Index(faulty, green), [page(1, "1", "2")], on_rejected=never, patience=PATIENCE).written == 2
    assert fault.hits == 3


@pytest.mark.parametrize(
    "write",
    [writer.compare_and_set, lambda index, page, **options: load(index, [page], **options)],
    ids=["cas", "load"],
)
def test_only_overloaded_items_are_sent_again(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    green: str,
    write: Callable[..., Ledger],
) -> None:
    sent: list[int] = []

    def half_of_it(request: Request, forward: Forward) -> Answer:
        """The queue has room for the first half only."""
        rows = request.body.splitlines(keepends=True)
        sent.append(len(rows) // 2)
        taken = (len(rows) // 2 + 1) // 2
        request.body = b"".join(rows[: 2 * taken])
        items = json.loads(forward().body)["items"]
        error = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full queue"}}
        items += [{"create": error}] * (sent[-1] - taken)
        return Answer(200, json.dumps({"errors": True, "items": items}).encode())

    proxy.add(BULK, half_of_it, times=None)
    ledger = write(Index(faulty, green), page(1, *"abcdef", name="x"), on_rejected=never, patience=PATIENCE)
    assert ledger == Ledger(green, read=6, written=6)
    assert sent == [6, 3, 1]


def test_endless_overload_ends_as_unavailable_within_patience(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    proxy.answer(BULK, 429, OVERLOADED, times=None)
    began = time.monotonic()
    with pytest.raises(IndexUnavailable, match=r"429.*Nothing was acknowledged"):
        load(Index(faulty, green), [page(1, "1")], on_rejected=never, patience=0.3)
    assert time.monotonic() - began < 5
    assert documents(client, green) == {}


TRANSIENT: list[tuple[str, Callable[[OpenSearchProxy], object]]] = [
    ("503", lambda proxy: proxy.answer(BULK, 503, b"<html>no healthy upstream</html>", content_type="text/html")),
    ("502", lambda proxy: proxy.answer(BULK, 502)),
    ("504", lambda proxy: proxy.answer(BULK, 504, {"message": "Endpoint request timed out"})),
    ("refused", lambda proxy: proxy.refuse(BULK)),
    ("half an answer", lambda proxy: proxy.halve_answer(BULK)),
    ("answer lost", lambda proxy: proxy.lose_answer(BULK)),
    ("truncated JSON", lambda proxy: proxy.answer(BULK, 200, b'{"errors":false,"items":[{"cre')),
    ("too few items", lambda proxy: proxy.answer(BULK, 200, {"errors": False, "items": []})),
    ("circuit breaker", lambda proxy: proxy.answer(BULK, 429, {"error": {"type": "circuit_breaking_exception"}})),
]


@pytest.mark.parametrize(("name", "inject"), TRANSIENT, ids=[name for name, _ in TRANSIENT])
def test_whole_request_that_fails_for_a_moment_is_repeated_and_nothing_doubled(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    green: str,
    name: str,
    inject: Callable[[OpenSearchProxy], object],
) -> None:
    compare_and_set(Index(client, green), page(9, "newer", name="live"), on_rejected=never)
    for write in (compare_and_set, lambda index, page, **options: load(index, [page], **options)):
        inject(proxy)
        ledger = write(Index(faulty, green), page(5, "1", "2", "newer", name="x"), on_rejected=never, patience=PATIENCE)
        assert ledger.read == 3  # and balanced, or it had raised
        found = documents(client, green)
        assert {key: doc["name"] for key, doc in found.items()} == {"1": "x", "2": "x", "newer": "live"}
        version = client.request("GET", f"/{green}/_doc/1")["_version"]
        assert version == 1, "written again although it was there"


LASTING: list[tuple[str, int, bytes, str, type[SearchSyncError], str]] = [
    ("401", 401, b"Unauthorized", "text/plain", BadConnection, "credentials"),
    ("403", 403, b'{"Message":"User is not authorized"}', "application/json", BadConnection, "not authorized"),
    ("HTML", 200, b"<html>Sign in</html>", "text/html", BadConnection, "login page"),
    ("text", 200, b"welcome", "text/plain", BadConnection, "login page"),
    ("redirect", 302, b"", "text/html", BadConnection, "login page"),
    (
        "flood stage",
        429,
        b'{"error":{"type":"cluster_block_exception","reason":"disk usage exceeded flood-stage watermark"}}',
        "application/json",
        RequestRejected,
        "Free disk space",
    ),
]


@pytest.mark.parametrize(("name", "status", "body", "kind", "error", "says"), LASTING, ids=[row[0] for row in LASTING])
def test_what_waiting_cannot_help_fails_at_once_and_says_so(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    green: str,
    name: str,
    status: int,
    body: bytes,
    kind: str,
    error: type[SearchSyncError],
    says: str,
) -> None:
    proxy.answer(".*", status, body, content_type=kind, times=None)
    with pytest.raises(error, match=says):
        load(Index(faulty, green), [page(1, "1")], on_rejected=never)
    with pytest.raises(error, match=says):
        faulty.request("GET", f"/{green}/_count")
    assert len(proxy.requests) == 2
    assert documents(client, green) == {}


# -- blocks


def block(client: Client, index: str, setting: str, on: bool = True) -> None:
    client.request("PUT", f"/{index}/_settings", body={f"index.blocks.{setting}": on or None})


def test_full_disk_is_told_apart_from_a_blocked_index(client: Client, green: str) -> None:
    block(client, green, "read_only_allow_delete")
    with pytest.raises(RequestRejected, match="Free disk space") as caught:
        load(Index(client, green), [page(1, "1")], on_rejected=never)
    assert not isinstance(caught.value, IndexGone)
    block(client, green, "read_only_allow_delete", on=False)
    block(client, green, "write")
    with pytest.raises(IndexGone, match=f"{green} does not take writes"):
        load(Index(client, green), [page(1, "1")], on_rejected=never)
    block(client, green, "write", on=False)
    assert load(Index(client, green), [page(1, "1")], on_rejected=never).written == 1


def test_late_load_of_a_deleted_index_does_not_bring_it_back(client: Client, green: str) -> None:
    client.request("DELETE", f"/{green}")
    with pytest.raises(IndexGone):
        load(Index(client, green), [page(1, "1")], on_rejected=never)
    with pytest.raises(IndexGone):
        compare_and_set(Index(client, green), page(1, "1"), on_rejected=never)
    assert client.request("GET", "/_all", params={"expand_wildcards": "all"}) == {}


# -- load


def test_a_failed_bulk_stops_the_load_and_is_not_forgotten(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    proxy.answer(BULK, 401)
    read: list[int] = []

    def pages() -> Iterator[Page]:
        for n in range(1_000):
            read.append(n)
            yield page(1, str(n))

    with pytest.raises(BadConnection):
        load(Index(faulty, green), pages(), on_rejected=never)
    assert len(read) < 100


def test_a_source_that_fails_is_not_taken_for_its_end(client: Client, green: str) -> None:
    def pages() -> Iterator[Page]:
        yield page(1, "1")
        raise ConnectionResetError("the source went away")

    with pytest.raises(ConnectionResetError):
        load(Index(client, green), pages(), on_rejected=never)


def test_progress_is_told_in_the_order_of_the_pages(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    """A load resumes after the last page it was told of: told of a later one first, it would skip the one before."""
    seen: list[tuple[int, Any]] = []
    proxy.answer(BULK, 503, {"error": {"type": "unavailable", "reason": "once"}})  # the first page is late
    pages = [replace(page(1, f"{n}a", f"{n}b"), resume=n) for n in range(7)]
    ledger = load(
        Index(faulty, green), pages, on_rejected=never, on_progress=lambda ledger, at: seen.append((ledger.read, at))
    )
    assert ledger.read == 14
    assert seen == [(2 * n + 2, n) for n in range(7)]


# -- rule 3: apply


@pytest.fixture
def pair(client: Client, locations: Entity) -> tuple[str, str]:
    """A live index and a second member of the write set."""
    return serve(client, locations, "blue"), make_index(client, locations, "green")


def test_apply_writes_to_every_member(client: Client, locations: Entity, pair: tuple[str, str]) -> None:
    pages = [page(2, "1", "2", name="x"), tombstones(3, "2")]
    ledgers = writer.apply(EntityIndexes(client, locations), pages, on_rejected=never)
    assert ledgers == {name: Ledger(name, read=3, written=2, tombstoned=1) for name in sorted(pair)}
    for name in pair:
        assert documents(client, name)["2"]["sync"]["deleted"] is True


def test_apply_to_nothing_is_never_acknowledged(client: Client, locations: Entity) -> None:
    make_index(client, locations, joined=False)
    with pytest.raises(EmptyWriteSet, match="locations_reindex"):
        writer.apply(EntityIndexes(client, locations), [page(1, "1")], on_rejected=never)


def test_index_that_joins_while_others_are_written_is_written_too(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    pair: tuple[str, str],
) -> None:
    late = make_index(client, locations, "late", joined=False)
    proxy.after(rf"POST /{pair[1]}/_bulk\?timeout", lambda: aliases.join(EntityIndexes(client, locations), late))
    ledgers = writer.apply(EntityIndexes(faulty, locations), [page(2, "1", name="x")], on_rejected=never)
    assert ledgers.keys() == {*pair, late}
    assert documents(client, late)["1"]["name"] == "x"


def test_index_that_left_is_dropped_and_the_others_are_written(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    pair: tuple[str, str],
) -> None:
    blue, green = pair
    proxy.before(rf"POST /{green}/_bulk\?timeout", lambda: aliases.delete(EntityIndexes(client, locations), green))
    ledgers = writer.apply(
        EntityIndexes(faulty, locations), [page(2, "1", name="x"), page(3, "2", name="x")], on_rejected=never
    )
    assert ledgers == {blue: Ledger(blue, read=2, written=2)}
    assert documents(client, blue).keys() == {"1", "2"}


def test_index_that_left_between_two_pages_has_no_ledger(
    client: Client, locations: Entity, pair: tuple[str, str]
) -> None:
    blue, green = pair

    def pages() -> Iterator[Page]:
        yield page(2, "1", name="x")
        aliases.delete(EntityIndexes(client, locations), green)
        yield page(3, "2", name="x")

    assert writer.apply(EntityIndexes(client, locations), pages(), on_rejected=never).keys() == {blue}


def test_member_that_refuses_writes_holds_up_the_acknowledgement(
    client: Client, locations: Entity, pair: tuple[str, str]
) -> None:
    block(client, pair[1], "write")
    with pytest.raises(IndexUnavailable, match="does not take writes"):
        writer.apply(EntityIndexes(client, locations), [page(2, "1")], on_rejected=never, patience=0.3)
    unblock = threading.Timer(0.2, block, (client, pair[1], "write", False))
    unblock.start()
    ledgers = writer.apply(EntityIndexes(client, locations), [page(2, "1")], on_rejected=never, patience=PATIENCE)
    unblock.join()
    assert ledgers.keys() == set(pair)


def test_a_member_that_is_overloaded_is_sent_it_again_and_the_other_is_not(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    pair: tuple[str, str],
) -> None:
    """Acknowledged after the first member alone, the second would lack the page for ever."""
    blue, green = pair
    busy = proxy.answer(rf"POST /{green}/_bulk\?timeout", 429, OVERLOADED, times=2)
    ledgers = writer.apply(
        EntityIndexes(faulty, locations), [page(2, "1", name="x")], on_rejected=never, patience=PATIENCE
    )
    assert (busy.hits, {name: ledger.written for name, ledger in ledgers.items()}) == (2, {blue: 1, green: 1})
    assert sum(sent.startswith(f"POST /{blue}/_bulk?timeout") for sent in proxy.requests) == 1
    assert documents(client, blue) == documents(client, green) != {}


def test_apply_waits_out_a_cluster_that_is_away(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    pair: tuple[str, str],
) -> None:
    away = proxy.refuse(".*", times=3)
    ledgers = writer.apply(EntityIndexes(faulty, locations), [page(2, "1")], on_rejected=never, patience=PATIENCE)
    assert away.hits == 3
    assert ledgers.keys() == set(pair)


def test_server_that_is_gone_is_unavailable_not_unknown() -> None:
    began = time.monotonic()
    with pytest.raises(IndexUnavailable, match="does not answer"):
        connect("http://127.0.0.1:1").request("GET", "/", patience=0.3)
    assert time.monotonic() - began < 5
