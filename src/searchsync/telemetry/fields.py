"""Fields that all lines of the log have within a block, whichever module writes them.

``entity``, ``index``, ``run`` (``<dag id>/<run id>``, or ``cli/<time>``), ``tenant_id``, ``request_id``: the names are
those of docs/operations/seeing.md, and of the search API.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

# structlog adds each context variable whose name begins so to a line (structlog.contextvars.STRUCTLOG_KEY_PREFIX).
# Airflow logs by structlog; the stream's function does not have it, and needs no more than this.
_FIELDS: dict[str, ContextVar[str]] = {
    name: ContextVar(f"structlog_{name}") for name in ("entity", "index", "run", "tenant_id", "request_id")
}


def begin(**fields: str) -> dict[str, Token[str]]:
    """Let all lines of this thread have some fields from now on; an empty text stands for none."""
    return {name: _FIELDS[name].set(text) for name, text in fields.items() if text}


@contextmanager
def within(**fields: str) -> Iterator[None]:
    """Let the lines of a block have some fields. A thread that it starts has them if it gets a copy of the context."""
    tokens = begin(**fields)
    try:
        yield
    finally:
        for name, token in tokens.items():
            _FIELDS[name].reset(token)


def current() -> dict[str, str]:
    """Return the fields that a line has here."""
    return {name: text for name, variable in _FIELDS.items() if (text := variable.get(""))}
