"""Only our own processes are ever stopped, and all of them are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import processes, servers
from local.processes import Process

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    processes.stop_leftovers(tmp_path, patience=0.5)


def spawn(folder: Path, command: list[str] = SLEEP) -> Process:
    return processes.spawn(command, folder=folder, log=folder / "log")


def test_a_process_outlives_its_starter_s_session_and_is_stopped(tmp_path: Path) -> None:
    process = spawn(tmp_path)
    assert processes.is_alive(process)
    assert os.getsid(process.pid) == process.pid
    processes.stop(process)
    assert not processes.is_alive(process)


def test_one_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    process = spawn(tmp_path, STUBBORN)
    while not (tmp_path / "log").read_text():
        time.sleep(0.02)
    processes.stop(process, patience=0.3)
    assert not processes.is_alive(process)


def test_another_program_with_the_recorded_id_is_not_touched() -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        recorded = Process(stranger.pid, started=time.time() - 3600, mark="/some/folder")
        assert not processes.is_alive(recorded)
        processes.stop(recorded)
        processes.kill(recorded)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_is_still_ours_after_the_clock_was_set(tmp_path: Path) -> None:
    """Thirty times: for a moment after its start, a process shows no environment, and so no mark."""
    for _ in range(30):
        process = spawn(tmp_path)
        assert processes.is_alive(Process(process.pid, process.started - 7200, process.mark))


def test_orphans_without_a_record_are_found_by_their_mark(tmp_path: Path) -> None:
    forking = f"import subprocess; print(subprocess.Popen({SLEEP!r}).pid, flush=True)"
    parent = spawn(tmp_path / "airflow", [sys.executable, "-c", forking])
    while processes.is_alive(parent):
        time.sleep(0.02)
    orphan = int((tmp_path / "airflow" / "log").read_text())
    assert [process.pid for process in processes.leftovers(tmp_path)] == [orphan]
    assert list(processes.leftovers(tmp_path / "air")) == []  # a folder whose name only begins the same is another one
    assert processes.stop_leftovers(tmp_path) == 1
    assert list(processes.leftovers(tmp_path)) == []


def test_a_test_folder_is_owned_by_whoever_claimed_it(tmp_path: Path) -> None:
    servers.claim(tmp_path)
    (tmp_path / "postgres").mkdir()
    servers.write(tmp_path / "postgres", Process(1, 0.0), 5432)
    assert {owner.pid for owner in servers.owners(tmp_path)} == {os.getpid()}
    assert [record.port for record in servers.below(tmp_path)] == [5432]
    assert servers.running(tmp_path / "postgres") is None


def test_a_killed_process_is_gone(tmp_path: Path) -> None:
    process = spawn(tmp_path)
    processes.kill(process)
    assert not processes.is_alive(process)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
