"""The state of single keys on both sides, as far as a comparison needs it."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from searchsync.cluster.index import Index
from searchsync.documents.page import is_ours, sync_in
from searchsync.documents.position import known
from searchsync.sources.base import Source

WHOLE_AT_ONCE = 100
"""Number of whole documents that are in memory at once."""

NO_HASH = "no hash"
"""Stands for the hash of a document whose ``sync`` has not the writer's form."""


class State(NamedTuple):
    """One side of a key: the state in the source or in the index.

    :ivar hash: empty when there is no document, ``NO_HASH`` when the document is foreign
    :ivar fields: digest of each field of the document, without ``sync``; None for a tombstone and for no document
    :ivar changed: when the row was changed, as the row says; empty when it does not say so
    """

    hash: str
    position: str
    deleted: bool
    fields: dict[str, bytes] | None
    written_at: str = ""
    changed: str = ""


def index_states(index: Index, keys: list[str]) -> dict[str, State]:
    """Return the state in ``sync`` of some documents, whatever else is in them."""
    found = index.documents(keys, source="sync")
    return {doc["_id"]: _state(doc.get("_source")) for doc in found}


def whole_states(index: Index, keys: list[str]) -> dict[str, State]:
    """Return the states of whole documents. They may be large: a few are read at a time, and only digests are kept."""
    states: dict[str, State] = {}
    for at in range(0, len(keys), WHOLE_AT_ONCE):
        found = index.documents(keys[at : at + WHOLE_AT_ONCE], source="*")
        states |= {doc["_id"]: _state(doc.get("_source")) for doc in found}
    return states


def source_states(source: Source, keys: list[str]) -> Iterator[tuple[str, State]]:
    """Yield the states of some keys in a source, as one rendering makes their documents."""
    for page in source.states(keys):
        for document in page.documents():
            state = _state(json.loads(document.source), source.entity.changed)
            yield document.key, State("", state.position, True, None) if document.deleted else state
        for rejection in page.rejected:
            yield rejection.id, State(rejection.type, "", False, None)


def _state(document: dict[str, Any] | None, changed: str | None = None) -> State:
    if document is None:
        return State("", "", False, None)
    sync = sync_in(document)
    ours = is_ours(sync)
    shown = f"{sync['hash_high']:08x}{sync['hash_low']:08x}" if ours else NO_HASH
    position = sync["position"] if known(sync.get("position")) else ""
    fields = {name: _digest(value) for name, value in document.items() if name != "sync"}
    written_at, moment = str(sync.get("written_at") or ""), str(document.get(changed or "") or "")
    return State(shown, position, sync.get("deleted") is True, fields, written_at, moment)


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).digest()
