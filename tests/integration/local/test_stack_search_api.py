"""`./dev up` starts Redis and the search API, leaves those that run alone, and repairs what is half dead."""

import json
import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from local import cli, ports, processes, search_api
from local.cognito import UserPool
from local.paths import Home
from local.stack import Stack


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Stack]:
    """A stack of which only the emulator, Redis and the search API run."""
    made = Stack(Home(tmp_path / "home", tmp_path), print)
    names = ("aws", "opensearch", "redis", search_api.STAND_IN, search_api.PART)
    made.state.claim_ports(dict.fromkeys(names, ports.RANGE), {})
    try:
        yield made
    finally:
        made.down()
        assert list(processes.leftovers(tmp_path)) == []


def start(up: Stack) -> None:
    """What `up` starts, as far as it is wanted here."""
    aws: Future[UserPool] = Future()
    aws.set_result(up._start_aws())
    up._start_redis()
    up._start_search_api(aws)


def test_the_search_api_is_started_once_and_repaired(
    up: Stack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start(up)
    first = up.running()
    assert set(first) == {"aws", "redis", search_api.PART}
    with urllib.request.urlopen(up.address(search_api.PART), timeout=5) as page:
        assert page.headers["Content-Type"].startswith("text/html")
    start(up)
    assert up.running() == first, "a second `up` starts nothing anew"

    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(up.home.folder))
    assert cli.main(["status"]) == 1
    assert re.search(f"search-api +running +{up.address(search_api.PART)} ", capfd.readouterr().out)
    assert cli.main(["logs", "search-api"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["level"] == "info"
    assert cli.main(["token", "--tenant", "acme", "--role", "admin"]) == 0
    assert capfd.readouterr().out.startswith("ey")

    processes.kill(first["redis"])
    processes.kill(first[search_api.PART])
    start(up)
    repaired = up.running()
    assert set(repaired) == set(first)
    assert repaired["aws"] == first["aws"]

    processes.kill(repaired["aws"])
    start(up)
    assert up.running()[search_api.PART] == repaired[search_api.PART], "it was told of a pool that is as before"


def test_a_search_api_that_does_not_start_is_explained(up: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `up` would wait for a minute, and say nothing about the reason."""
    monkeypatch.setattr(search_api, "_cursor_key", lambda _: "no key")
    with pytest.raises(Exception, match="search-api ended while starting") as raised:
        start(up)
    assert "SEARCH_API_CURSOR_KEYS" in str(raised.value)
