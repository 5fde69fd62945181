"""Under which key an answer is kept: no two different questions have the same one."""

import base64
import hashlib
from typing import Final

from search_api.caller import EveryTenant, OneTenant, Scope

FORM: Final = 1
"""Raise it when the same question gets an answer of another form: what was kept before is then not found any more."""


def cache_key(scope: Scope, version: str, index: str, canonical: bytes) -> str:
    """Return the key of an answer.

    It begins with the index, so with the entity. The rest is a hash of all parts, each with its length before it.

    :param scope: whose documents the answer may show
    :param version: of the entity's file: what it said before must not decide what is shown now
    :param index: the physical index that answers: after a swap, no answer of the former one is found
    :param canonical: the question in its one form, with the kind of question in it (search, document, suggestions)
    """
    parts = (_whose(scope), version.encode(), index.encode(), canonical)
    digest = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()
    return f"answer:{FORM}:{index}:{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _whose(scope: Scope) -> bytes:
    """Return the scope as bytes. A tenant whose id is ``*`` is still not every tenant."""
    match scope:
        case OneTenant(id=tenant):
            return b"tenant " + tenant.encode()
        case EveryTenant():
            return b"every tenant"
