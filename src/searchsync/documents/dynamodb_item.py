"""How DynamoDB items become documents: text, hash and id. Stream, scan, replay and comparison all use it.

Items come in DynamoDB's typed JSON, ``{"member_id": {"S": "m-1"}, ...}``.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

from searchsync.catalog import BUCKETS, Entity
from searchsync.documents import dynamodb_transform
from searchsync.documents.dynamodb_expiry import expiry
from searchsync.documents.dynamodb_json import renderer
from searchsync.documents.dynamodb_key import encoder
from searchsync.documents.dynamodb_values import BadItem, check_item, quote, typed, utf8
from searchsync.documents.page import Document, tombstone
from searchsync.mapping import fitting
from searchsync.mapping.fitting import Dropped

TRANSFORM = 1
"""Version of the documents that this module makes (``documents.transforms``). Whoever changes them must raise it."""


def text_of(entity: Entity, item: Any, dropped: Dropped | None = None) -> str:
    """Return the text of an item's document, without ``sync``.

    NULL and "" are left out: applications write them where they know nothing, and an index then has no field (also, ""
    is no date). Attributes and values that the entity's mapping has no place for are left out, too
    (``mapping.fitting``), and so is a time to live at which nothing ever expires.

    :param item: DynamoDB's JSON
    :param dropped: counts what was left out because of the mapping
    :raises BadItem: when no document can be made of the item, or the entity refuses to leave anything out
    """
    check_item(item)
    if (transform := entity.transform) is not None:
        item = dynamodb_transform.changed(entity, transform, item)
    left_out: Dropped = {}
    text = renderer(entity.fits, entity.expires)(item, left_out)
    if left_out and entity.unmapped == "refuse":
        raise BadItem("unmapped", f"the mapping has no place for {', '.join(sorted(left_out))}")
    if left_out and dropped is not None:
        fitting.add(dropped, left_out)
    return text


def check(entity: Entity) -> None:
    """Refuse files by which no document can be made, before any item is looked at: it would be no item's fault.

    :raises BadMapping: when the mapping cannot be used, or not with the transformation
    :raises BadEntity: when the transformation cannot be used
    :raises BadSource: when its Python file cannot be used
    """
    _ = entity.fits
    dynamodb_transform.check(entity)


def content_of(entity: Entity, item: Any, dropped: Dropped | None = None) -> dict[str, Any]:
    """Return the fields of an item's document, without ``sync``, as JSON has them. It raises as ``text_of``."""
    content: dict[str, Any] = json.loads(text_of(entity, item, dropped))
    return content


def expires_at(entity: Entity, item: Mapping[str, Any]) -> Any:
    """Return the second since the epoch at which an item expires; None when it never does.

    :param item: an item that a document can be made of
    """
    if entity.expires is None or entity.expires not in item:
        return None
    return expiry(*typed(item[entity.expires]))


def key_of(entity: Entity, keys: Any) -> str:
    """Return the document id, from an item or from the keys of an event (``dynamodb_key``).

    :raises BadItem: when there is no id that a document can have
    """
    return encoder(entity.key, entity.key_types)(keys)


def bucket_of(key: str) -> int:
    """Return the bucket in which comparisons count a document."""
    return zlib.crc32(utf8(key)) % BUCKETS


def hash_of(text: str) -> tuple[int, int]:
    """Return both 32-bit halves of a hash over a document's text, as it is stored, without ``sync``."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4]), int.from_bytes(digest[4:])


def document_of(
    entity: Entity, key: str, item: Any, *, position: str, written_at: str, dropped: Dropped | None = None
) -> Document:
    """Return the document of an item.

    :param item: DynamoDB's JSON
    :param dropped: counts what was left out of the document
    :raises BadItem: as ``text_of`` does
    """
    text = text_of(entity, item, dropped)
    high, low = hash_of(text)
    sync = (  # a position or a time has no character that JSON would escape
        f'"position":"{position}","deleted":false,"written_at":"{written_at}","bucket":{bucket_of(key)},'
        f'"hash_high":{high},"hash_low":{low}'
    )
    source = f'{{"sync":{{{sync}}}{"" if text == "{}" else ","}{text[1:]}'.encode()
    return Document(quote(key).encode(), source, position, deleted=False)


def tombstone_of(key: str, *, position: str, written_at: str) -> Document:
    """Return the tombstone of an item that does not exist."""
    return tombstone(key, position=position, bucket=bucket_of(key), written_at=written_at)
