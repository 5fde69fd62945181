"""Cursors: where the next page begins, sealed so that nobody can change it or use it for another question."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from search_api.caller import OneTenant, Scope
from search_api.problems import Problem
from search_api.query.request import SearchRequest, question

LIFETIME_SECONDS = 3_600
"""Seconds for which a cursor can be used."""

DISCOURAGED_PAGE = 10
"""Last page that somebody should read; who goes on should ask more precisely."""

_SEAL_BYTES = 18
_KEY_BYTES = 32


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins.

    :ivar index: the physical index that the page before was read from
    :ivar page: number of the page; the first has 1, and no cursor
    :ivar expires: epoch second after which the cursor is refused
    :ivar after: values of the sort of the hit before the page
    """

    index: str
    page: int
    expires: int
    after: list[Any]


@dataclass(frozen=True)
class Page:
    """One page of the hits of one search.

    :ivar index: the physical index that it is read from
    :ivar cursor: where it begins; None for the first page
    """

    request: SearchRequest
    scope: Scope
    index: str
    cursor: Cursor | None = None

    @property
    def number(self) -> int:
        """Number of the page, from 1."""
        return self.cursor.page if self.cursor else 1


class Cursors:
    """Seals cursors and opens them."""

    def __init__(self, keys: Sequence[bytes], clock: Callable[[], float] = time.time) -> None:
        """Take the keys: the first seals, all of them open, so that a key can be replaced while its cursors live."""
        if not keys or any(len(key) < _KEY_BYTES for key in keys):
            raise ValueError(f"cursors need keys of at least {_KEY_BYTES} bytes")
        self._keys = tuple(keys)
        self._clock = clock

    def __repr__(self) -> str:
        return f"Cursors({len(self._keys)} keys)"

    def open(self, request: SearchRequest, scope: Scope) -> Cursor | None:
        """Return the cursor of a request; None when it has none.

        :raises Problem: 400 when it was sealed for another scope or question, or was changed; 410 when it is too old
        """
        if not request.cursor:
            return None
        content = self._opened(request, scope)
        cursor = msgspec.msgpack.decode(content, type=Cursor)
        if cursor.expires < self._clock():
            raise Problem(410, "cursor-expired", "The cursor is too old.", next_step=_AGAIN)
        return cursor

    def following(self, page: Page, after: list[Any]) -> str:
        """Return the sealed cursor of the page after a page. It opens for the same scope and question alone.

        :param after: values of the sort of the page's last hit
        """
        expires = int(self._clock()) + LIFETIME_SECONDS
        content = msgspec.msgpack.encode(Cursor(page.index, page.number + 1, expires, after))
        return _written(_seal(self._keys[0], content, page.request, page.scope) + content)

    def _opened(self, request: SearchRequest, scope: Scope) -> bytes:
        try:
            raw = base64.urlsafe_b64decode(request.cursor + "=" * (-len(request.cursor) % 4))
        except ValueError:
            raise _refused() from None
        seal, content = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
        if _written(raw) != request.cursor or not any(
            hmac.compare_digest(seal, _seal(key, content, request, scope)) for key in self._keys
        ):
            raise _refused()
        return content


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _seal(key: bytes, content: bytes, request: SearchRequest, scope: Scope) -> bytes:
    tenant = scope.id if isinstance(scope, OneTenant) else None  # no tenant has the name of all
    bound = msgspec.msgpack.encode((tenant, question(request), content))
    return hmac.new(key, bound, hashlib.sha256).digest()[:_SEAL_BYTES]


_AGAIN = "Begin again without a cursor."


def _refused() -> Problem:
    detail = "The cursor is not one of this search: it was changed, or comes from another search."
    return Problem(400, "bad-cursor", detail, next_step=_AGAIN)
