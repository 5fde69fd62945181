"""A PostgreSQL that crashes so that it gives transaction ids a second time, without losing a commit."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import LiteralString

import psycopg

from local import postgres as local_postgres
from tests.steps import until

_WRITERS: LiteralString = "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('walwriter', 'background writer')"


class Crashing:
    """A server of its own that is killed and started again on its data and its port.

    :ivar app: the database, its address stays
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = local_postgres.start(folder)
        self.app = local_postgres.create_app(self.server)
        self._stopped: list[int] = []

    def abort(self, transactions: int = 500) -> None:
        """End so many transactions by a rollback, and let nothing bring that to the disk: no commit may follow.

        The WAL writer would do it within a second, and is stopped until the crash.
        """
        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            self._stopped = [pid for (pid,) in admin.execute(_WRITERS)]
            for pid in self._stopped:
                os.kill(pid, signal.SIGSTOP)
        with psycopg.connect(self.app.owner_dsn, autocommit=True) as owner:
            for _ in range(transactions):
                owner.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")

    def crash(self) -> None:
        """As when the machine's memory ends. It recovers."""
        self.server.kill()
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._stopped = []
        self.server = local_postgres.start(self._folder, port=self.server.port)

    def crash_one_process(self) -> None:
        """Only a connection's process is killed: the same postmaster throws all out, and recovers."""
        with psycopg.connect(self.app.owner_dsn, autocommit=True) as owner:
            os.kill(owner.info.backend_pid, signal.SIGKILL)
        until(self._answers, "the server recovers")

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.app.owner_dsn, autocommit=True) as owner:
                owner.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it, whatever a test has left."""
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.server.stop()
