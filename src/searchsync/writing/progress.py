"""What a person sees of a load while it runs and afterwards: its progress, and every document that was rejected."""

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, Any, Self

from searchsync.documents.page import Rejection
from searchsync.writing.ledger import Ledger

log = logging.getLogger(__name__)

LOGGED_REJECTIONS = 20


class Rejections:
    """The full list of rejected documents of one task, in a file that an operator can open. The log has the first few.

    The file holds one JSON object per line (id, type, reason, index). It exists only when something was rejected.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: IO[str] | None = None
        self._lock = Lock()
        path.unlink(missing_ok=True)  # an earlier attempt's

    def add(self, rejection: Rejection) -> None:
        """Note one rejected document. Several threads may call this at once."""
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w", encoding="utf-8")
                log.error("documents are being rejected; all are listed in %s", self.path)
            self._file.write(json.dumps(asdict(rejection)) + "\n")
            self.count += 1
            if self.count <= LOGGED_REJECTIONS:
                log.error("rejected %s: %s: %s", rejection.id, rejection.type, rejection.reason[:500])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            log.error("%d documents were rejected; all are listed in %s", self.count, self.path)


class Progress:
    """Logs counts, rate and what remains, every few seconds."""

    def __init__(self, what: str, expected: int, every: float = 5.0) -> None:
        self._what, self._expected, self._every = what, expected, every
        self._began = self._said = time.monotonic()

    def __call__(self, ledger: Ledger, _: Any = None, *, last: bool = False) -> None:
        """Log the running total, unless it was logged a moment ago."""
        now = time.monotonic()
        if not last and now - self._said < self._every:
            return
        self._said = now
        rate = ledger.read / max(now - self._began, 0.001)
        left = max(self._expected - ledger.read, 0)
        remains = (
            "" if last or not self._expected else f", about {left:,} documents or {left / max(rate, 1):,.0f} s remain"
        )
        log.info(
            "%s: %d read, %d written, %d stale, %d rejected, %.0f docs/s%s",
            self._what,
            ledger.read,
            ledger.written,
            ledger.stale,
            ledger.rejected,
            rate,
            remains,
        )
