"""Rule 1, between the look at what is stored and the write: whatever happens, the newest stays, as it was sent."""

import json
import threading
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import opensearch as local_opensearch
from searchsync.catalog import Entity
from searchsync.cluster.client import Client, connect
from searchsync.cluster.index import Index
from searchsync.documents.page import Page, page_of, read_document
from searchsync.errors import BadConnection, IndexUnavailable, RequestRejected
from searchsync.writing import bulk
from searchsync.writing.item_outcome import IndexGone
from searchsync.writing.ledger import Ledger
from searchsync.writing.writer import compare_and_set, load
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.steps import documents, line, make_index, never, page, position, start_mortal, tombstones

LOOK_UP = r"POST /.*/_bulk\?_source"
WRITE = r"POST /.*/_bulk\?timeout"
PATIENCE = 15.0

pytestmark = pytest.mark.usefixtures("quick_backoff")

Write = Callable[..., Ledger]
WAYS: list[Write] = [compare_and_set, lambda index, page, **options: load(index, [page], **options)]
every_way = pytest.mark.parametrize("write", WAYS, ids=["compare and set", "load"])


def put(client: Client, index: str, key: str, body: dict[str, Any]) -> None:
    """A document that somebody writes around the product."""
    client.request("PUT", f"/{index}/_doc/{key}", body=body)


# -- something happens between the look and the write

MEANWHILE: dict[str, tuple[int | None, Callable[[Client, str], object], str, str]] = {
    # name: (position of what is there first, what happens, whose document is there at the end, what our write was)
    "absent, then created newer": (None, lambda c, i: theirs(c, i, 9), "theirs", "stale"),
    "absent, then created older": (None, lambda c, i: theirs(c, i, 2), "ours", "written"),
    "absent, then created by a stranger": (None, lambda c, i: put(c, i, "1", {"name": "foreign"}), "ours", "written"),
    "absent, then deleted": (
        None,
        lambda c, i: compare_and_set(Index(c, i), tombstones(9, "1"), on_rejected=never),
        "",
        "stale",
    ),
    "older, then newer": (1, lambda c, i: theirs(c, i, 9), "theirs", "stale"),
    "older, then still older than ours": (1, lambda c, i: theirs(c, i, 2), "ours", "written"),
    "older, then as new as ours": (1, lambda c, i: theirs(c, i, 5), "theirs", "stale"),
    "older, then really deleted": (1, lambda c, i: c.request("DELETE", f"/{i}/_doc/1"), "ours", "written"),
    "older, then deleted and created newer": (1, lambda c, i: gone_and_back(c, i, 9), "theirs", "stale"),
    "older, then deleted and created older": (1, lambda c, i: gone_and_back(c, i, 2), "ours", "written"),
}


def theirs(client: Client, index: str, at: int) -> None:
    compare_and_set(Index(client, index), page(at, "1", name="theirs"), on_rejected=never)


def gone_and_back(client: Client, index: str, at: int) -> None:
    client.request("DELETE", f"/{index}/_doc/1")
    theirs(client, index, at)


@pytest.mark.parametrize("case", MEANWHILE)
def test_what_happens_between_look_and_write_is_seen(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str, case: str
) -> None:
    first, happens, winner, ours = MEANWHILE[case]
    if first is not None:
        compare_and_set(Index(client, green), page(first, "1", name="first"), on_rejected=never)
    held = proxy.before(WRITE, lambda: happens(client, green))
    ledger = compare_and_set(
        Index(faulty, green), page(5, "1", "other", name="ours"), on_rejected=never, patience=PATIENCE
    )
    assert held.hits == 1
    assert ledger == Ledger(green, read=2, written=1 + (ours == "written"), stale=ours == "stale")
    assert documents(client, green)["1"].get("name", "") == winner
    assert documents(client, green)["other"]["name"] == "ours"


def test_a_key_that_others_write_all_the_time_is_written_in_the_end(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    """Each time we have looked, an older write comes before ours."""
    at = iter(range(1, 9))
    contended = proxy.before(WRITE, lambda: theirs(client, green, next(at)), times=8)
    ledger = compare_and_set(Index(faulty, green), page(50, "1", name="ours"), on_rejected=never, patience=PATIENCE)
    assert (contended.hits, ledger.written) == (8, 1)
    assert documents(client, green)["1"]["name"] == "ours"


def test_contention_that_does_not_end_is_told_as_such(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    at = iter(range(1, 10_000))
    proxy.before(WRITE, lambda: theirs(client, green, next(at)), times=None)
    with pytest.raises(IndexUnavailable, match=r"being written by others at once.*Nothing was acknowledged"):
        compare_and_set(Index(faulty, green), page(10_000, "1"), on_rejected=never, patience=0.3)


def test_many_writers_of_one_key_all_end_and_the_newest_stays(client: Client, green: str) -> None:
    ledgers: list[Ledger] = []

    def write(positions: range) -> None:
        ledgers.extend(
            compare_and_set(
                Index(client, green), page(at, "hot", name=f"at {at}"), on_rejected=never, patience=PATIENCE
            )
            for at in positions
        )

    threads = [threading.Thread(target=write, args=(range(start, 121, 6),)) for start in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ledger.read for ledger in ledgers) == 120  # none gave up, each balanced
    assert documents(client, green)["hot"]["name"] == "at 120"


@every_way
@pytest.mark.parametrize(
    ("positions", "winner"),
    [((5, 6), "b"), ((6, 5), "a"), ((5, 5), "a"), ((1, 2, 3, 2, 3), "c")],
    ids=["growing", "falling", "equal", "five"],
)
def test_a_key_twice_in_a_page_is_written_in_its_order(
    client: Client, green: str, positions: tuple[int, ...], winner: str, write: Write
) -> None:
    lines = [line("1", at, name=name) for at, name in zip(positions, "abcde", strict=False)]
    ledger = write(Index(client, green), page_of(lines, position=position(1)), on_rejected=never, patience=PATIENCE)
    assert ledger.read == ledger.written + ledger.stale == len(positions)
    assert documents(client, green)["1"]["name"] == winner


@pytest.mark.parametrize("again", [False, True], ids=["nobody else", "another writer"])
def test_a_primary_that_is_another_one_decides_like_the_first(
    mortal: local_opensearch.Server, mortal_folder: Path, locations: Entity, again: bool
) -> None:
    """Its term is part of the condition: what it lost and gave the same number again is no longer what was seen."""
    client = connect(mortal.url)
    green = make_index(client, locations)
    compare_and_set(Index(client, green), page(1, "1", name="first"), on_rejected=never)
    proxy = OpenSearchProxy(mortal.url)

    def restarted() -> None:
        mortal.kill()
        start_mortal(mortal_folder)
        client.request("GET", f"/_cluster/health/{green}", params={"wait_for_status": "yellow"})
        if again:
            theirs(client, green, 9)

    proxy.before(WRITE, restarted)
    ledger = compare_and_set(Index(connect(proxy.url), green), page(5, "1", name="ours"), on_rejected=never)
    proxy.close()
    assert (ledger.written, ledger.stale) == ((0, 1) if again else (1, 0))
    assert documents(client, green)["1"]["name"] == ("theirs" if again else "ours")
    assert client.request("GET", f"/{green}/_doc/1")["_primary_term"] > 1


def test_a_document_that_is_equal_still_gets_the_later_position(client: Client, green: str) -> None:
    """An older write that comes afterwards is older than what was last read, not than what last changed."""
    for at in (1, 5):
        assert compare_and_set(Index(client, green), page(at, "1", name="same"), on_rejected=never).written == 1
    assert documents(client, green)["1"]["sync"]["position"] == position(5)
    assert compare_and_set(Index(client, green), page(3, "1", name="between"), on_rejected=never).stale == 1


# -- the look itself fails


def missing(request_: Request, error: dict[str, Any], status: int) -> Answer:
    count = len(request_.body.splitlines()) // 2
    return Answer(
        200, json.dumps({"errors": True, "items": [{"update": {"status": status, "error": error}}] * count}).encode()
    )


UNDECIDED: dict[str, Callable[[Request, Forward], Answer | None]] = {
    "a shard is away": lambda r, _: missing(r, {"type": "unavailable_shards_exception", "reason": "away"}, 503),
    "a full queue": lambda r, _: missing(r, {"type": "es_rejected_execution_exception", "reason": "full"}, 429),
    "a node that stops": lambda r, _: missing(r, {"type": "node_closed_exception", "reason": "node closed"}, 500),
    "too few answers": lambda *_: Answer(200, b'{"errors":false,"items":[]}'),
    "no document, and no word of it": lambda r, _: Answer(
        200,
        json.dumps(
            {"errors": False, "items": [{"update": {"status": 200}}] * (len(r.body.splitlines()) // 2)}
        ).encode(),
    ),
    "overloaded": lambda *_: Answer(429, b'{"error":{"type":"es_rejected_execution_exception","reason":"full"}}'),
    "broken memory limit": lambda *_: Answer(429, b'{"error":{"type":"circuit_breaking_exception","reason":"full"}}'),
    "no healthy upstream": lambda *_: Answer(503, b"<html>no healthy upstream</html>", "text/html"),
    "refused": lambda *_: None,
}


@pytest.mark.parametrize("how", UNDECIDED)
def test_what_could_not_be_looked_up_is_never_taken_for_absent(
    client: Client, faulty: Client, proxy: OpenSearchProxy, green: str, how: str
) -> None:
    compare_and_set(Index(client, green), page(9, "newer", name="theirs"), on_rejected=never)
    fault = proxy.add(LOOK_UP, UNDECIDED[how], times=2)
    ledger = compare_and_set(
        Index(faulty, green), page(5, "newer", "2", "3", name="ours"), on_rejected=never, patience=PATIENCE
    )
    assert (fault.hits, ledger.written, ledger.stale) == (2, 2, 1)
    assert documents(client, green)["newer"]["name"] == "theirs"
    fault = proxy.add(LOOK_UP, UNDECIDED[how], times=None)
    with pytest.raises(IndexUnavailable, match="Nothing was acknowledged"):
        compare_and_set(Index(faulty, green), page(6, "2", "4", name="ours"), on_rejected=never, patience=0.3)
    assert fault.hits > 1
    assert "4" not in documents(client, green)


def test_only_what_could_not_be_looked_up_is_looked_up_again(
    faulty: Client, proxy: OpenSearchProxy, green: str
) -> None:
    asked: list[int] = []

    def half_of_it(request_: Request, forward: Forward) -> Answer:
        """One of two shards is away."""
        rows = request_.body.splitlines(keepends=True)
        asked.append(len(rows) // 2)
        known = (asked[-1] + 1) // 2
        request_.body = b"".join(rows[: 2 * known])
        items = json.loads(forward().body)["items"]
        away = {"update": {"status": 503, "error": {"type": "unavailable_shards_exception", "reason": "away"}}}
        return Answer(200, json.dumps({"errors": True, "items": items + [away] * (asked[-1] - known)}).encode())

    proxy.add(LOOK_UP, half_of_it, times=None)
    assert compare_and_set(Index(faulty, green), page(1, *"abcdef"), on_rejected=never, patience=PATIENCE).written == 6
    assert asked == [6, 3, 1]


def test_an_index_that_goes_before_or_after_the_look_is_gone_and_not_empty(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    for pattern in (LOOK_UP, WRITE):
        green = make_index(client, locations, pattern)
        proxy.before(pattern, partial(client.request, "DELETE", f"/{green}"))
        with pytest.raises(IndexGone):
            compare_and_set(Index(faulty, green), page(5, "1"), on_rejected=never)
    assert client.request("GET", "/_all") == {}


def test_a_closed_index_is_said_to_be_closed(client: Client, green: str) -> None:
    client.request("POST", f"/{green}/_close")
    with pytest.raises(RequestRejected, match="index_closed_exception"):
        compare_and_set(Index(client, green), page(5, "1"), on_rejected=never)


def test_what_waiting_cannot_help_is_not_asked_again(faulty: Client, proxy: OpenSearchProxy, green: str) -> None:
    fault = proxy.answer(LOOK_UP, 401, b"Unauthorized", content_type="text/plain", times=None)
    with pytest.raises(BadConnection, match="credentials"):
        compare_and_set(Index(faulty, green), page(5, "1"), on_rejected=never)
    assert fault.hits == 1


# -- foreign documents

_SYNCS: dict[str, Any] = {
    "none": {},
    "null": {"sync": None},
    "a list": {"sync": []},
    "a list of objects": {"sync": [{"position": position(9)}, {"deleted": True}]},
    "an empty object": {"sync": {}},
    "dotted": {"sync.position": position(9)},
}
_POSITIONS: dict[str, Any] = {
    "missing": None,
    "a number": 5,
    "a large number": 10**30,
    "a list": [position(8), position(9)],
    "an empty list": [],
    "empty": "",
    "text": "zzz",
    "almost one of ours": position(9)[:-1],
    "one of another kind of source": f"{10**9 + 9:010d}.{0:040d}",
    "true": True,
}
_FLAGS: dict[str, Any] = {"alive": {"deleted": False}, "deleted": {"deleted": True}, "unsaid": {}}
FOREIGN: dict[str, dict[str, Any]] = {
    **_SYNCS,
    **{
        f"{flag}, position {kind}": {"sync": {**fields, **({} if value is None else {"position": value})}}
        for kind, value in _POSITIONS.items()
        for flag, fields in _FLAGS.items()
    },
}


@every_way
@pytest.mark.parametrize("ours", [page, tombstones], ids=["document", "tombstone"])
def test_foreign_documents_of_every_shape_are_replaced_and_hold_up_nothing(
    client: Client, green: str, write: Write, ours: Callable[..., Page]
) -> None:
    for key, body in FOREIGN.items():
        put(client, green, key.replace(" ", "%20"), {**body, "name": "foreign"})
    keys = ["first", *FOREIGN, "last"]
    ledger = write(Index(client, green), ours(5, *keys), on_rejected=never, patience=PATIENCE)
    assert (ledger.read, ledger.stale, ledger.rejected) == (len(keys), 0, 0)
    found = documents(client, green)
    assert {key: doc["sync"]["position"] for key, doc in found.items()} == dict.fromkeys(keys, position(5))
    assert not [key for key, doc in found.items() if "name" in doc or "sync.position" in doc]
    # from here on they are documents like others
    assert write(Index(client, green), ours(4, *keys), on_rejected=never, patience=PATIENCE).stale == len(keys)


# -- byte for byte


def stored(client: Client, index: str, key: str) -> bytes:
    """The source as OpenSearch keeps it."""
    host = client.transport.hosts[0]
    with urllib.request.urlopen(f"http://{host['host']}:{host['port']}/{index}/_source/{key}") as answer:
        return bytes(answer.read())


VALUES = {
    "a double that Java writes with an exponent": (b'"region":12345678.5', {"region": "12345678.5"}),
    "a numeric with its zeros": (b'"region":1.10', {"region": "1.10"}),
    "18 decimals": (b'"region":0.123456789012345678', {"region": "0.123456789012345678"}),
    "an integer beyond a long": (
        b'"region":123456789012345678901234567890',
        {"region": "123456789012345678901234567890"},
    ),
    "minus zero": (b'"region":-0.0', {"region": "-0.0"}),
    "an exponent": (b'"region":1E+2', {"region": "1E+2"}),
    "seconds with a fraction as text": (b'"timezone":"4102444800.50"', {"timezone": "4102444800.50"}),
    "escapes": (rb'"region":"Z\u00fcrich \/ \ud83d\ude00"', {"region": "Zürich / 😀"}),
    "letters": ('"region":"Zürich"'.encode(), {"region": "Zürich"}),
    "spaces and order": (b'"coordinates" : { "lon":8.50 , "lat" : 47.0 }', None),
    "a point": (b'"coordinates":{"lat":47.370000,"lon":8.540000}', None),
}


@pytest.mark.parametrize("case", VALUES)
def test_the_sources_bytes_are_stored_and_found_whatever_the_way(client: Client, green: str, case: str) -> None:
    """Loaded, written as new, written over something and written after a conflict: nothing renders a value again."""
    field, term = VALUES[case]

    def source(at: int) -> bytes:
        return b'{"sync":{"position":"%b","deleted":false},"name":"x",%b}' % (position(at).encode(), field)

    def one(key: str, at: int) -> Page:
        return page_of([read_document(json.dumps(key).encode(), source(at))], position=position(at))

    compare_and_set(Index(client, green), page(1, "replaced", "loaded-over"), on_rejected=never)
    for write, key in ((load, "loaded"), (load, "loaded-over")):
        assert write(Index(client, green), [one(key, 5)], on_rejected=never).written == 1
    for key in ("new", "replaced"):
        assert compare_and_set(Index(client, green), one(key, 5), on_rejected=never).written == 1
    keys = ["loaded", "loaded-over", "new", "replaced"]
    assert {key: stored(client, green, key) for key in keys} == dict.fromkeys(keys, source(5))
    if term is not None:
        client.request("POST", f"/{green}/_refresh")
        found = client.request("POST", f"/{green}/_search", body={"query": {"term": term}})["hits"]["hits"]
        assert sorted(hit["_id"] for hit in found) == keys


# -- bounded by bytes


@every_way
def test_no_request_is_larger_than_the_limit_whatever_the_page(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    green: str,
    monkeypatch: pytest.MonkeyPatch,
    write: Write,
) -> None:
    monkeypatch.setattr(bulk, "MAX_BYTES", 4_000)
    monkeypatch.setattr(bulk, "MAX_DOCUMENTS", 10)
    keys = [str(n) for n in range(60)]
    compare_and_set(Index(client, green), page(1, *keys[::2], name="old"), on_rejected=never)
    sent: list[tuple[int, int]] = []

    def measured(request_: Request, forward: Forward) -> Answer:
        sent.append((len(request_.body), len(request_.body.splitlines()) // 2))
        return forward()

    proxy.add(r"POST /.*/_bulk", measured, times=None)
    lines = [line(key, 5, name="x" * (300 if key != "7" else 9_000)) for key in keys]  # one that is larger alone
    ledger = write(Index(faulty, green), page_of(lines, position=position(5)), on_rejected=never)
    assert ledger == Ledger(green, read=60, written=60)
    assert [count for size, count in sent if size > 4_000] == [1] * sum(size > 4_000 for size, _ in sent)
    assert max(count for _, count in sent) <= 10 or write is not compare_and_set


@pytest.mark.parametrize("kind", ["es_rejected_execution_exception", "circuit_breaking_exception"])
@every_way
def test_a_request_that_is_too_much_at_once_is_halved_until_it_passes(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    green: str,
    kind: str,
    write: Write,
) -> None:
    """A node whose memory is taken lets smaller requests pass for hours, and the large one never."""

    def limited(request_: Request, forward: Forward) -> Answer:
        if len(request_.body) <= 2_000:
            return forward()
        return Answer(429, json.dumps({"error": {"type": kind, "reason": "would use too much"}}).encode())

    proxy.add(r"POST /.*/_bulk", limited, times=None)
    keys = [str(n) for n in range(50)]
    ledger = write(Index(faulty, green), page(1, *keys, name="x"), on_rejected=never, patience=PATIENCE)
    assert ledger == Ledger(green, read=50, written=50)
    assert documents(client, green).keys() == set(keys)


def test_a_write_whose_position_is_none_is_refused_before_anything_is_written(client: Client, green: str) -> None:
    """It could be compared with nothing: whatever is stored would be replaced."""
    compare_and_set(Index(client, green), page(9, "1", name="stays"), on_rejected=never)
    for source in (b'{"sync":{"position":"5","deleted":false},"name":"wrong"}', b'{"name":"wrong"}'):
        body = b'{"create":{"_id":"1"}}\n%b\n' % source
        with pytest.raises(ValueError, match="nothing was written"):
            compare_and_set(Index(client, green), Page(body, 1, "5"), on_rejected=never)
    assert documents(client, green)["1"]["name"] == "stays"


def test_a_look_reads_no_more_than_the_position(client: Client, green: str) -> None:
    compare_and_set(Index(client, green), page(9, "1", name="x" * 100_000), on_rejected=never)
    (found,) = client.look_up(green, [b'"1"'])
    assert found["get"]["_source"] == {"sync": {"position": position(9)}}
