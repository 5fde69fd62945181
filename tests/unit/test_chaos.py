"""The judge and the links of ``./dev bench chaos``, and the figures of ``./dev bench saturation``.

Who overlooks a wrong answer, or whose fault is none, would call anything robust.
"""

import json
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from benchmarks import saturation
from benchmarks._api_load import kind_of
from benchmarks._chaos import CASES, Row
from benchmarks._chaos_load import LATEST_SECONDS, Load, Sources
from local import airflow, ports, search_api
from local.stack import SERVERS
from tests.faults import Link


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""

    def serve(client: socket.socket) -> None:
        with client:
            while data := client.recv(1_024):
                client.sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server((ports.LOOPBACK, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture
def link(echo: int) -> Iterator[Link]:
    made = Link(echo)
    yield made
    made.close()


def said(link: Link, seconds: float = 5.0) -> bytes:
    """What comes back of one word over a new connection; nothing when it is refused."""
    try:
        with socket.create_connection((ports.LOOPBACK, link.port), timeout=seconds) as client:
            client.sendall(b"word")
            return client.recv(16)
    except (ConnectionError, TimeoutError):
        return b""


def test_a_link_carries_what_is_sent(link: Link) -> None:
    assert said(link) == b"word"
    assert link.cuts == 0


def test_a_link_breaks_each_connection_after_so_many_bytes(link: Link) -> None:
    link.cut_after = 3
    assert said(link) == said(link) == b""
    assert link.cuts == 2
    link.cut_after = None
    assert said(link) == b"word"


def test_a_link_that_is_cut_ends_what_there_is_and_takes_nothing_new(link: Link) -> None:
    with socket.create_connection((ports.LOOPBACK, link.port), timeout=5.0) as before:
        before.sendall(b"word")
        assert before.recv(16) == b"word"
        with link.cut():
            assert before.recv(16) == b""
            assert said(link) == b""
    assert said(link) == b"word", "it is whole again"


def test_a_silent_link_says_nothing_and_then_all(link: Link) -> None:
    with socket.create_connection((ports.LOOPBACK, link.port), timeout=0.2) as client:
        with link.silent():
            client.sendall(b"word")
            with pytest.raises(TimeoutError):
                client.recv(16)
        client.settimeout(5.0)
        assert client.recv(16) == b"word"


def test_a_slow_link_is_slow(link: Link) -> None:
    with link.slow(0.3):
        assert said(link, seconds=0.4) == b"", "0.3 s there and 0.3 s back"
        assert said(link) == b"word"


def test_a_link_without_its_server_refuses_and_finds_the_next_one(link: Link, echo: int) -> None:
    """A server that was killed is started again at the same port, and nobody is told of it."""
    link.upstream = ports.choose()
    assert said(link) == b""
    link.upstream = echo
    assert said(link) == b"word"


def answer(status: int, body: Any = None, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    made._content = json.dumps(body).encode()
    return made


MINE, FOREIGN = ({"id": "m-1", "document": {"tenant_id": tenant}} for tenant in ("acme", "globex"))
GOOD = answer(200, {"hits": [MINE]}, X_Cache="miss")


@pytest.mark.parametrize(
    ("got", "seconds", "wrong"),
    [
        (GOOD, 0.1, set()),
        (answer(503, {}, Retry_After="1"), 0.1, set()),
        (answer(429, {}, Retry_After="9"), 0.1, set()),
        (answer(503, {}), 0.1, {"status 503"}),
        (answer(500, {}, Retry_After="1"), 0.1, {"status 500"}),
        (answer(401, {}), 0.1, {"status 401"}),
        (answer(200, {"hits": [MINE, FOREIGN]}), 0.1, {"another tenant's document"}),
        (GOOD, LATEST_SECONDS + 1, {"late"}),
        (None, 0.1, {"no answer"}),
    ],
)
def test_what_nobody_should_get_is_a_violation(got: requests.Response | None, seconds: float, wrong: set[str]) -> None:
    load = Load(Sources("", None), "", {}, "seed")
    load.judge(got, "acme", seconds)
    assert set(load.violations) == wrong
    assert load.answers.total() == 1


def test_a_service_that_was_killed_may_give_no_answer() -> None:
    load = Load(Sources("", None), "", {}, "seed", may_be_silent=True)
    load.judge(None, "acme", 0.1)
    assert load.violations == {}
    assert load.answers == {"no answer": 1}


def test_each_process_and_each_link_has_its_case() -> None:
    """A part that was forgotten is the one that breaks."""
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    killed = {name.removesuffix(" killed").lower() for name in names if name.endswith(" killed")}
    parts = {*airflow.PROGRAMS, *(name.replace("postgres", "postgresql") for name in SERVERS)}
    assert parts | {"task", "worker", "function", "delivery", search_api.PART.replace("-", " ")} == killed
    linked = {name.split(" to ")[1].rsplit(" ", 1)[0] for name in names if name.startswith("link to ")}
    assert linked == {"OpenSearch", "PostgreSQL", "Redis", "the emulator"}


def test_a_row_says_what_does_not_hold() -> None:
    assert Row("killed").cells()[-1] == "holds"
    assert Row("killed", problems=["messages: 3"]).cells()[-1] == "WRONG: messages: 3"


@pytest.mark.parametrize(
    ("status", "cache", "body", "kind"),
    [
        (200, "hit", b"{}", "200 hit"),
        (200, "", b"no JSON", "200"),
        (503, "", b'{"detail": "Too many searches are waiting."}', "503 Too many searches are waiting."),
        (502, "", b"<html>", "502"),
        (500, "", b"[]", "500"),
    ],
)
def test_answers_are_told_apart_by_their_reason(status: int, cache: str, body: bytes, kind: str) -> None:
    assert kind_of(status, cache, body) == kind


def figures(rate: float, **answers: int) -> dict[str, Any]:
    told = {kind.replace("_", " ").strip(): count for kind, count in answers.items()}
    kinds = {kind: {"p99": 1.0} for kind in told}
    return {"arrived": rate, "rate": rate, "p50": 1.0, "p99": 1.0, "answers": told, "kinds": kinds}


def bars(**changes: Any) -> set[str]:
    """Names of the bars that are not met, for good figures with changes."""
    good = figures(100.0, _200_hit=100)
    steps = {saturation.step_name(step): good for step in saturation.STEPS}
    refused = figures(300.0, _200_miss=100, _503_many=200)
    steps |= {saturation.step_name(3.0): changes.pop("most", refused)}
    load = saturation.Load(0, None, None, 1.0, steps)  # type: ignore[arg-type]
    told: dict[str, Any] = {"capacity": 100.0, "well_after": 1.0, "reindex": 2.0, "sync": 2.0}
    told |= {"greedy": (refused, good), "limit": (figures(20.0, _200_miss=10, _429_much=10), good), **changes}
    return {bar.name for bar in saturation.bars(load, told) if not bar.met}


def test_a_service_that_refuses_what_is_too_much_meets_the_bars_of_saturation() -> None:
    assert bars() == set()


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"most": figures(300.0, _200_miss=20, _503_many=280)}, "answered/s at three times the capacity / capacity"),
        ({"most": figures(300.0, _200_miss=299, no_answer=1)}, "neither 200 nor a refusal"),
        ({"well_after": float("nan")}, "well again after, s"),
        ({"greedy": (figures(9.0, _200_miss=9), figures(9.0, _200_miss=9))}, "share answered of the one"),
        ({"reindex": 9.0}, "a reindex beside half of the capacity"),
    ],
)
def test_a_service_that_breaks_down_misses_a_bar_of_saturation(changes: dict[str, Any], missed: str) -> None:
    assert [name for name in bars(**changes) if missed in name]


def test_the_mix_has_requests_of_all_tenants_and_asks_nothing_new_twice() -> None:
    queries = [[("q", f"name {number}")] for number in range(100)]
    tokens = {tenant: tenant for tenant in saturation.TENANTS}
    asked = saturation.Asked(iter(queries[10:]), queries[:10], tokens, random.Random(1))
    sent = asked.mixed(100).split(b"\0")[:-1]
    assert len(sent) == 100
    assert {one.split(b"Bearer ")[1].strip().decode() for one in sent} == set(tokens)
    fresh = [one.split(b" HTTP")[0] for one in sent if not any(b"%20" + b"%d " % n in one for n in range(10))]
    assert len(fresh) == len(set(fresh)) > 20
