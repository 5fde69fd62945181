"""The table of the benchmark: items of three widths, the mapping that they are indexed by, and the pages of a scan.

A page of a scan ends at a megabyte of items, as DynamoDB counts them: names and values, without the JSON around them.
"""

import base64
import json
import random
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from local import members
from searchsync.catalog import Entity, include_dir
from searchsync.documents import dynamodb_item
from searchsync.documents.page import page_of

KEY = members.ENTITY.key[0]
SEGMENTS = 4
"""Number of segments of the scan: as many as the DAG has by default."""

PAGE_BYTES = 1_000_000
WIDTHS = (6, 20, 60)
"""Number of attributes of an item. Every width is as frequent as the others."""

POSITION, WRITTEN_AT = f"{1_800_000_000}.{'0' * 40}", "2027-01-15T08:00:00.000Z"

_KEYWORD = {"type": "keyword"}
_PLACE = {
    "properties": {
        "street": _KEYWORD,
        "city": _KEYWORD,
        "zip": _KEYWORD,
        "geo": {"type": "geo_point"},
    }
}
_ORDERS = {"properties": {"sku": _KEYWORD, "quantity": {"type": "integer"}, "price": {"type": "double"}}}
_WIDE = {
    **{f"text_{n:02d}": _KEYWORD for n in range(14)},
    **{f"whole_{n:02d}": {"type": "long"} for n in range(8)},
    **{f"rate_{n:02d}": {"type": "double"} for n in range(6)},
    **{f"flag_{n:02d}": {"type": "boolean"} for n in range(6)},
    "orders": _ORDERS, "returns": _ORDERS, "work": _PLACE, "scores": {"type": "long"}, "labels": _KEYWORD,
    "photo": {"type": "keyword", "index": False, "doc_values": False},
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "score": {"type": "double"}, "phone": _KEYWORD, "language": _KEYWORD, "timezone": _KEYWORD,
    "login_count": {"type": "long"}, "balance": {"type": "double"}, "active": {"type": "boolean"}, "address": _PLACE,
    "note": _KEYWORD, **_WIDE,
}  # fmt: skip
"""Fields beside those of the product's own mapping."""


@dataclass(frozen=True)
class Recorded:
    """A table on disk.

    :ivar pages: folder with the pages of the scan, and with their list
    :ivar bodies: per segment, the folder with the same items as bodies
    :ivar attributes: number of attributes of all items
    """

    items: int
    pages: Path
    bodies: list[Path]
    attributes: int


def mapping(folder: Path) -> None:
    """Write a folder for ``SEARCHSYNC_INCLUDE``: the product's, and more fields for members."""
    target = folder / "mappings"
    for part in ("entities", "mappings"):
        shutil.copytree(include_dir() / part, folder / part, dirs_exist_ok=True)
    body = json.loads((target / "members.json").read_text())
    body["mappings"]["properties"] |= FIELDS
    (target / "members.json").write_text(json.dumps(body))


def items(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Items as DynamoDB's JSON, with 6, 20 or 60 attributes, some of them nested. The same for the same seed."""
    choose = random.Random(seed)
    for member in members.sample(count, seed):
        yield _item(member, choose.choice(WIDTHS), choose)


def _item(member: dict[str, Any], width: int, choose: random.Random) -> dict[str, Any]:
    narrow = {name: member[name] for name in (KEY, "name", "email", "status", "joined_date")}
    narrow["score"] = {"N": f"{choose.randrange(10_000) / 100}"}
    if width == WIDTHS[0]:
        return narrow
    usual = {
        **narrow, "city": member["city"], "skills": member["skills"],
        "tags": member.get("tags", {"L": [{"S": "new"}]}),
        "phone": {"S": f"+353 {choose.randrange(10**9):09d}"}, "language": {"S": choose.choice(("de", "en", "pt"))},
        "timezone": {"S": choose.choice(("Europe/Dublin", "America/Bogota", "Asia/Tokyo"))},
        "login_count": {"N": str(choose.randrange(5_000))}, "balance": {"N": f"{choose.randrange(10**7) / 100:.2f}"},
        "active": {"BOOL": choose.random() < 0.9}, "address": _place(choose),
        "expires_at": {"N": str(2_300_000_000 + choose.randrange(10**8))},
        "note": choose.choice(({"NULL": True}, {"S": "prefers e-mail; calls back after 5 pm – “René”"})),
        "etag": {"S": f"{choose.getrandbits(128):032x}"},  # nobody has mapped these two
        "created_by": {"M": {"service": {"S": "signup"}, "version": {"N": "17"}}},
    }  # fmt: skip
    return usual if width == WIDTHS[1] else usual | _wide(choose)


def _wide(choose: random.Random) -> dict[str, Any]:
    day = date(2020, 1, 1) + timedelta(days=choose.randrange(2_000))
    return {
        **{f"text_{n:02d}": {"S": f"{day} value {choose.randrange(1_000)} of {n}"} for n in range(14)},
        **{f"whole_{n:02d}": {"N": str(choose.randrange(-(10**6), 10**12))} for n in range(8)},
        **{f"rate_{n:02d}": {"N": f"{choose.randrange(10**8) / 1000}"} for n in range(6)},
        **{f"flag_{n:02d}": {"BOOL": choose.random() < 0.5} for n in range(6)},
        "orders": {"L": [_order(choose) for _ in range(3)]}, "returns": {"L": [_order(choose)]},
        "work": _place(choose), "scores": {"NS": [str(n) for n in choose.sample(range(100), 5)]},
        "labels": {"SS": choose.sample(("gold", "late", "new", "paper", "quiet", "vip"), 3)},
        "photo": {"B": base64.b64encode(choose.randbytes(48)).decode()},
    }  # fmt: skip


def _place(choose: random.Random) -> dict[str, Any]:
    latitude, longitude = choose.randrange(-89_000, 89_000) / 1000, choose.randrange(-179_000, 179_000) / 1000
    point = {"lat": {"N": str(latitude)}, "lon": {"N": str(longitude)}}
    return {
        "M": {
            "street": {"S": f"{choose.randrange(1, 200)} Long Street"},
            "city": {"S": choose.choice(("Berlin", "São Paulo", "Zürich"))},
            "zip": {"S": f"{choose.randrange(100_000):05d}"},
            "geo": {"M": point},
        }
    }


def _order(choose: random.Random) -> dict[str, Any]:
    price = f"{choose.randrange(100_000) / 100:.2f}"
    quantity = str(choose.randrange(1, 9))
    return {"M": {"sku": {"S": f"A-{choose.randrange(10**6)}"}, "quantity": {"N": quantity}, "price": {"N": price}}}


def record(entity: Entity, count: int, folder: Path) -> Recorded:
    """Write the pages that a scan of each segment gets, and beside them the bodies that our path makes of them."""
    pages = folder / "pages"
    bodies = [folder / "bodies" / str(number) for number in range(SEGMENTS)]
    for part in (pages, *bodies):
        part.mkdir(parents=True)
    listed: list[list[dict[str, Any]]] = [[] for _ in range(SEGMENTS)]
    source, attributes = items(count), 0
    for segment in range(SEGMENTS):
        cut = _cut(source, count // SEGMENTS + (segment < count % SEGMENTS))
        found = next(cut)
        while found:
            following = next(cut, [])
            number = len(listed[segment])
            attributes += sum(map(len, found))
            last = found[-1][KEY]["S"] if following else ""
            body = _answer(found, last)
            name = f"{segment}-{number:05d}.json"
            (pages / name).write_bytes(body)
            listed[segment].append({"file": name, "crc": zlib.crc32(body), "last": last})
            (bodies[segment] / f"{number:06d}-{len(found)}.ndjson").write_bytes(_body(entity, found))
            found = following
    (pages / "pages.json").write_text(json.dumps(listed))
    return Recorded(count, pages, bodies, attributes)


def _cut(source: Iterator[dict[str, Any]], count: int) -> Iterator[list[dict[str, Any]]]:
    page: list[dict[str, Any]] = []
    size = 0
    for _ in range(count):
        item = next(source)
        more = sum(len(name) + _size(attribute) for name, attribute in item.items())
        if page and size + more > PAGE_BYTES:
            yield page
            page, size = [], 0
        page.append(item)
        size += more
    if page:
        yield page


def _size(attribute: dict[str, Any]) -> int:
    """Return the size of a value, about as DynamoDB counts it."""
    ((kind, value),) = attribute.items()
    if kind == "M":
        return 3 + sum(1 + len(name) + _size(inner) for name, inner in value.items())
    if kind == "L":
        return 3 + sum(1 + _size(inner) for inner in value)
    if kind in ("SS", "NS"):
        return sum(len(text.encode()) for text in value)
    return 1 if kind in ("BOOL", "NULL") else len(value.encode())


def _answer(found: list[dict[str, Any]], last: str) -> bytes:
    units = sum(sum(map(_size, item.values())) for item in found) / 4_096
    answer: dict[str, Any] = {
        "ConsumedCapacity": {"CapacityUnits": round(units, 1), "TableName": members.ENTITY.table},
        "Count": len(found),
        "Items": found,
        "ScannedCount": len(found),
    }
    if last:
        answer["LastEvaluatedKey"] = {KEY: {"S": last}}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def _body(entity: Entity, found: list[dict[str, Any]]) -> bytes:
    documents = [
        dynamodb_item.document_of(entity, item[KEY]["S"], item, position=POSITION, written_at=WRITTEN_AT)
        for item in found
    ]
    return page_of(documents, position=POSITION).body
