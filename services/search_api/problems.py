"""Errors as answers: problem details of RFC 9457, with the request's id and the next step."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

MEDIA_TYPE = "application/problem+json"
PATH = "/problems"
"""Where ``CODES`` is shown."""

CODES: Final[Mapping[str, str]] = {
    "address-too-long": "The address has more bytes than the service reads. Send a search as JSON instead.",
    "agent-busy": "As many questions are being answered as can be at a time.",
    "answer-too-large": "The documents that were found are too large together. Ask for fewer hits or fewer fields.",
    "bad-address": "The address is no UTF-8, or has too many parameters.",
    "bad-body": "The body is not the JSON that is asked for here.",
    "bad-cursor": "The cursor was changed, or belongs to another search or another tenant.",
    "bad-parameter": "A parameter has a value that it cannot have.",
    "body-too-large": "The body has more bytes than the service reads.",
    "cursor-expired": "The cursor is older than an hour. Begin again without one.",
    "deadline-exceeded": "The request took too long, and was given up.",
    "headers-too-large": "The headers have more bytes than the service reads.",
    "incomplete-answer": "Only a part of the index has answered. What lacks could be what was looked for.",
    "internal-error": "The service failed in a way that nobody thought of. The request's id leads to the cause.",
    "keys-unavailable": "The keys of the user pool are not known, so it cannot be known whether the token is good.",
    "method-not-allowed": "The address exists, and does not answer this method.",
    "no-agent": "The service was started without a model, so it answers searches alone.",
    "no-index": "The entity has no index yet: its first reindex has not run.",
    "no-such-user": "The emulated user pool has no such user. This is for development alone.",
    "no-user-pool": "The emulated user pool does not answer. This is for development alone.",
    "not-found": "There is nothing at this address, or nothing that you may see.",
    "other-origin": "A page of another origin has asked for a development token.",
    "query-refused": "OpenSearch cannot run the query: it has too many parts.",
    "repeated-parameter": "A parameter that has one value comes several times.",
    "role-unknown": "The token's groups name no role of this service, or several.",
    "search-unavailable": "OpenSearch does not answer, or must be left alone for a while, and no answer is kept.",
    "token-algorithm": "The token is signed with another algorithm than RS256.",
    "token-audience": "The token was issued to an application that may not search here.",
    "token-claims": "The token lacks a claim, or has one of a wrong type.",
    "token-expired": "The token has expired. Get a new one.",
    "token-issuer": "The token comes from another issuer.",
    "token-key-unknown": "The issuer has no such key as the token names.",
    "token-malformed": "The header Authorization has no token that can be read.",
    "token-missing": "The request has no token.",
    "token-not-yet-valid": "The token is not valid yet. Compare the clocks.",
    "token-signature": "The signature of the token is wrong.",
    "token-tenant": "The token has no tenant, or one that cannot be a tenant's id.",
    "token-use": "The token is neither an ID token nor an access token.",
    "too-many-requests-of-address": "Your address has asked as often as it may. Retry-After says when to go on.",
    "too-many-requests-of-tenant": "Your tenant has asked as often as it may. Retry-After says when to go on.",
    "too-many-values": "The filters have too many values together.",
    "unknown-entity": "There is no such entity, or it is not served.",
    "unknown-index": "The entity has no such index that gets its writes.",
    "unknown-parameter": "There is no such parameter here.",
    "unsupported-media-type": "The body is said to be something else than JSON.",
    "warming-forbidden": "Your role may not warm an index.",
}
"""What each problem means. The ``type`` of a problem leads to its line."""


class Problem(Exception):
    """An answer that is no result. Raise it anywhere; the application makes the response of it.

    :ivar status: the HTTP status
    :ivar code: what happened: one of ``CODES``
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
                "type": f"{PATH}#{self.code}",
                "title": self.code.replace("-", " ").capitalize(),
                "status": int(self.status),
                "detail": self.detail,
                "next_step": self.next_step,
                "request_id": request_id,
            }
        )
