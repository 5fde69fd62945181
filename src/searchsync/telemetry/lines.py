"""The log of the stream's function: one JSON object a line, with the fields that every log of this product has."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from searchsync.telemetry import fields

LIBRARY = "searchsync"


class JsonLines(logging.Formatter):
    """Formats a record as JSON. An exception becomes ``error``, its type and text, and ``stack``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        document = line(record.levelname, record.getMessage(), at=record.created, logger=record.name)
        if record.exc_info and record.exc_info[1]:
            raised = record.exc_info[1]
            document |= {"error": f"{type(raised).__name__}: {raised}", "stack": self.formatException(record.exc_info)}
        return json.dumps(document, default=str)


def line(level: str, message: str, *, at: float, **more: Any) -> dict[str, Any]:
    """Return the fields of a line: what all lines have, what holds for this block, and what is its own.

    :param at: seconds since the epoch
    """
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return {"timestamp": stamp, "level": level.lower(), "message": message, **fields.current(), **more}


def to_stdout() -> None:
    """Write the log of this process to standard output: from INFO on what this library says, warnings of others."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    with_debug(False)


def with_debug(wanted: bool) -> None:
    """Write the library's lines of level DEBUG, too, or do not."""
    logging.getLogger(LIBRARY).setLevel(logging.DEBUG if wanted else logging.INFO)
