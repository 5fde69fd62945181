"""Errors as answers: problem details of RFC 9457, with the request's id and the next step."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is no result. Raise it anywhere; the application makes the response of it.

    :ivar status: the HTTP status
    :ivar code: what happened, as a stable word with hyphens, such as ``unknown-parameter``
    :ivar detail: what was wrong with this request, without a value that is not the caller's own
    :ivar next_step: what the caller can do about it
    :ivar headers: more headers of the response, such as ``Retry-After``
    """

    def __init__(
        self, status: int, code: str, detail: str, *, next_step: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.code = code
        self.detail = detail
        self.next_step = next_step
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> bytes:
        """Return the response's body."""
        return msgspec.json.encode(
            {
                "type": f"/problems#{self.code}",
                "title": self.code.replace("-", " ").capitalize(),
                "status": int(self.status),
                "detail": self.detail,
                "next_step": self.next_step,
                "request_id": request_id,
            }
        )
