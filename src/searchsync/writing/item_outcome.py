"""What OpenSearch answers for one document, to a write or to a look-up (docs/protocol.md, rule 2)."""

from enum import Enum
from typing import Any

from searchsync.cluster import refusals
from searchsync.cluster.client import flood_stage
from searchsync.errors import BadConnection, RequestRejected


class IndexGone(RequestRejected):
    """The index does not take writes: it is deleted (404) or blocked (403). The write set says whether that matters."""


class Outcome(Enum):
    """What became of one document (rule 2)."""

    WRITTEN = 1
    STALE = 2
    CONFLICT = 3
    REJECTED = 4
    RETRY = 5


def outcome_of(index: str, item: dict[str, Any]) -> Outcome:
    """Return the outcome of one item of a bulk answer (rule 2).

    :raises RequestRejected: when the fault is our own, or a disk is full
    :raises IndexGone: when the index answers 403 or 404
    :raises BadConnection: when the login may not write: waiting does not help
    """
    status = item["status"]
    error = item.get("error")
    if status in (200, 201) and error is None:
        return Outcome.WRITTEN
    kind = str((error or {}).get("type", ""))
    reason = reason_of(item)
    if status == 409:
        return Outcome.CONFLICT
    if "refused_alone" in item or _is_poison(status, kind, reason):
        return Outcome.REJECTED
    if status == 429 and kind == "cluster_block_exception":
        raise RequestRejected(f"{index}: {flood_stage(reason)}", status=status, error_type=kind)
    if status == 401 or kind == "security_exception":
        raise BadConnection(
            f"{index}: OpenSearch refuses this login to write ({reason}). Nothing was acknowledged; give the role of "
            "the connection indices:data/write/* on the entity's indexes"
        )
    if status in (403, 404):
        raise IndexGone(f"{index} does not take writes: {kind}: {reason}", status=status, error_type=kind)
    if status == 429 or status >= 500:
        return Outcome.RETRY
    raise RequestRejected(f"{index}: unexpected answer {status} {kind}: {reason}", status=status, error_type=kind)


def _is_poison(status: int, kind: str, reason: str) -> bool:
    """Return whether the document is to blame: no retry helps it, and it must not hold up the others."""
    if status == 400:
        return kind not in refusals.OURS and not any(words in reason for words in refusals.OUR_WORDS)
    return status >= 500 and kind in refusals.POISON


def reason_of(item: dict[str, Any]) -> str:
    """Return why an item of a bulk failed, with the cause."""
    error = item.get("error") or {}
    cause = (error.get("caused_by") or {}).get("reason")
    return "; ".join(str(part) for part in dict.fromkeys((error.get("reason"), cause)) if part)


def absent(item: dict[str, Any]) -> bool:
    """Return whether a look-up says for certain that there is no such document: a missing index gives another 404."""
    return item["status"] == 404 and (item.get("error") or {}).get("type") == "document_missing_exception"
