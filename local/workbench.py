"""`./dev test` and `./dev bench`: servers of their own, independent of a running stack, stopped whatever happens."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from local import airflow, opensearch, postgres, processes, servers
from local.errors import LocalError
from local.files import tail
from local.paths import LOCAL, ROOT
from local.state import exclusively

_ABANDONED_SECONDS = 3600.0
_PROCESSES = 1 + min(os.cpu_count() or 2, 3)
"""Processes of a whole run: one more than cores, because tests wait for their servers half of the time."""

_ALL = ("--numprocesses", str(_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")
_QUICK = ("tests/unit", "--numprocesses", "2")
"""What needs no server: rules, lints and types, in less than a minute."""

_SHORT_LIVED = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"}
"""Java compiles quickly rather than well: a server of the tests starts almost twice as fast, and lives for minutes."""
_OF_MEMBERS = ("stream", "compare", "page")
_OF_LOCATIONS = ("reindex", "recovery", "compare", "consistency", "relevance", "api", "saturation")
_OF_A_STACK = ("chaos", "disaster", "kills", "scale", "rollback", "canary")
"""Which start a whole stack themselves, or need no server."""


def test(arguments: Sequence[str]) -> int:
    """Run pytest, with a folder for its servers in SEARCHSYNC_TEST_DIR. Returns pytest's exit code.

    All tests run in some processes, each with servers of its own; some tests in one, where they can be looked at.

    :param arguments: for pytest; ``--quick`` first stands for the tests that need no server
    """
    if arguments[:1] == ["--quick"]:
        arguments = [*_QUICK, *arguments[1:]]
    sweep()
    folder = LOCAL / f"test-{os.getpid()}"
    folder.mkdir(parents=True)
    servers.claim(folder)
    try:
        variables = {"SEARCHSYNC_TEST_DIR": str(folder), **_SHORT_LIVED}
        return _run([sys.executable, "-m", "pytest", *(arguments or _ALL)], variables)
    finally:
        _remove(folder)


def bench(name: str | None, arguments: Sequence[str]) -> int:
    """Run a benchmark with OpenSearch, and the sources that it reads from, started for it.

    Returns its exit code. Data is kept for the next run.
    """
    known = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("_"))
    if name not in known:
        raise LocalError(
            f"there is no benchmark {name!r}; there are: {', '.join(known) or 'none'}"
            if name
            else f"one of: {', '.join(known) or 'none'}"
        )
    folder = LOCAL / "bench"
    with exclusively(LOCAL / ".bench.lock", f"bench {name}"):
        try:
            aws = _start_aws(folder / "aws") if name in _OF_MEMBERS else {}
            database = _start_postgres(folder / "postgres") if name in _OF_LOCATIONS else {}
            search = {} if name in _OF_A_STACK else _start_opensearch(folder / "opensearch")
            own = {"SEARCHSYNC_BENCH_DIR": str(folder), "PYTHONPATH": str(ROOT / "services")}
            variables = {**own, **search, **aws, **database}
            return _run([sys.executable, "-m", f"benchmarks.{name}", *arguments], variables)
        finally:
            _stop_servers(folder)


def _start_opensearch(folder: Path) -> dict[str, str]:
    return {"SEARCHSYNC_OPENSEARCH_URL": opensearch.start(folder).url}


def _start_postgres(folder: Path) -> dict[str, str]:
    """Where the application's database is, as a benchmark reads it from its environment."""
    app = postgres.create_app(postgres.start(folder))
    return {"SEARCHSYNC_POSTGRES_DSN": app.reader_dsn, "SEARCHSYNC_POSTGRES_OWNER_DSN": app.owner_dsn}


def _start_aws(folder: Path) -> dict[str, str]:
    """A new emulator, which keeps nothing from one benchmark to the next."""
    processes.stop_leftovers(folder)
    log = folder / "aws.log"
    log.unlink(missing_ok=True)
    process = processes.spawn([sys.executable, "-m", "local.aws", "--port", "0"], folder=folder, log=log, cwd=ROOT)
    while (address := re.search(r" on (http://\S+)\n", log.read_text(encoding="utf-8"))) is None:
        if not processes.is_alive(process):
            raise LocalError(f"the AWS emulator ended while starting; the end of {log}:\n{tail(log)}")
        time.sleep(0.1)
    return airflow.aws_environment(address[1])


def sweep() -> None:
    """Stop the servers and remove the folders of test runs that were killed.

    Those of a test run that still lives are left alone.
    """
    for folder in [*LOCAL.glob("test-*"), *Path(tempfile.gettempdir()).glob("searchsync-test-*")]:
        try:
            owners = servers.owners(folder)
            abandoned = bool(owners) or time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
        except OSError:  # another user's, or gone by now
            continue
        if abandoned and not any(processes.is_alive(owner) for owner in owners):
            _remove(folder)


def _remove(folder: Path) -> None:
    _stop_servers(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _stop_servers(folder: Path) -> None:
    for record in servers.below(folder):
        if processes.is_alive(record.process):
            processes.stop(record.process, first=signal.SIGINT, patience=20.0)
    processes.stop_leftovers(folder)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command in the foreground and pass SIGTERM on, so that whoever stops us also gets the clean-up."""
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the terminal has sent it to the child, too: let it end in its own way
                continue
    finally:
        signal.signal(signal.SIGTERM, before)
