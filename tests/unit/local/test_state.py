"""What a stack remembers survives damage, other checkouts and a second command."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import ports
from local.errors import LocalError
from local.files import read_json, secret, write_atomically
from local.processes import Process
from local.state import Part, State, exclusively


def test_state_is_read_back(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json", {"airflow": 20_001}, {"scheduler": Part(Process(7, 1.5, "/mark"), "abc")})
    state.save()
    assert State.load(state.path) == state


@pytest.mark.parametrize("text", ["", "{", "[]", '{"parts": {"scheduler": {"pid": "x"}}, "ports": {"airflow": "no"}}'])
def test_a_damaged_state_is_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert State.load(path) == State(path)


def test_ports_are_kept_unless_someone_else_has_taken_them(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json")
    assert state.claim_ports({"aws": ports.RANGE, "slack": ports.RANGE}, {}) == []
    before = dict(state.ports)
    assert len(set(before.values())) == 2
    assert state.claim_ports({"aws": ports.RANGE, "slack": ports.RANGE}, {}) == []
    assert state.ports == before
    with socket.create_server((ports.LOOPBACK, before["aws"])):
        assert state.claim_ports({"aws": ports.RANGE, "slack": ports.RANGE}, {}) == ["aws"]
    assert state.ports["aws"] != before["aws"]
    assert state.ports["slack"] == before["slack"]


def test_a_port_held_by_our_own_part_is_kept(tmp_path: Path) -> None:
    port = ports.choose()
    state = State(tmp_path / "state.json", {"airflow": port}, {"api-server": Part(Process.current())})
    with socket.create_server((ports.LOOPBACK, port)):
        assert state.claim_ports({"airflow": ports.RANGE}, {"airflow": "api-server"}) == []
    assert state.ports == {"airflow": port}


def test_a_taken_port_is_refused_by_name() -> None:
    with (
        socket.create_server((ports.LOOPBACK, 0)) as server,
        pytest.raises(LocalError, match="wanted for PostgreSQL, is taken"),
    ):
        ports.require_free(server.getsockname()[1], purpose="PostgreSQL")


def test_a_second_command_says_who_is_at_work(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        exclusively(lock, "up"),
        pytest.raises(LocalError, match=rf"./dev up \(process {os.getpid()}\)"),
        exclusively(lock, "down"),
    ):
        pass
    with exclusively(lock, "down"):
        pass


def test_a_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = secret(path, "login")
    assert (secret(path, "login"), secret(path, "other") != first) == (first, True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, '{"old": 1}')

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, '{"new": 1}')
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_no_secret_is_lost_when_several_parts_make_theirs_at_once(tmp_path: Path) -> None:
    """The next `up` would make another one, and start Airflow again in the middle of a run."""
    path, names = tmp_path / "secrets.json", [f"secret {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda name: secret(path, name), names))
    assert [secret(path, name) for name in names] == made
