"""Find the items of which a transformation does not make the same document each time.

Function, reindex and comparison run on other machines and at other times, and get attributes and sets in another order.
A document that depends on these is stale as soon as it is written. So items are rendered a second time in another
process, which has another time zone and another order of sets, and gets the attributes backwards.

`python -m searchsync.scaffold.twice ENTITY` is that process: items on its stdin, what becomes of them on its stdout.
"""

import base64
import json
import os
import subprocess
import sys
from typing import Any

from searchsync.catalog import Entity, entity
from searchsync.documents import dynamodb_item
from searchsync.documents.dynamodb_values import BadItem
from searchsync.errors import BadSource

_ELSEWHERE = {"PYTHONHASHSEED": ("1", "2"), "TZ": ("Asia/Kathmandu", "America/St_Johns")}
"""Variables of the other process, each with another value for the case that this process has the first."""


def unsteady(entity: Entity, items: list[Any]) -> dict[str, str]:
    """Return what differs when items are rendered again, by document id.

    :param items: in DynamoDB's JSON
    :raises BadSource: when the second process fails
    """
    once, again = [_rendered(entity, item) for item in items], _elsewhere(entity, items)
    different = ((item, one, two) for item, one, two in zip(items, once, again, strict=True) if one != two)
    return {_id(entity, item): _difference(one, two) for item, one, two in different}


def _rendered(entity: Entity, item: Any) -> Any:
    """Return the fields of an item's document; a text when there is none."""
    try:
        return dynamodb_item.content_of(entity, item)
    except BadItem as error:
        return f"{error.type}: {error}"


def _elsewhere(entity: Entity, items: list[Any]) -> list[Any]:
    other = {name: one if os.environ.get(name) != one else two for name, (one, two) in _ELSEWHERE.items()}
    command = [sys.executable, "-m", "searchsync.scaffold.twice", entity.name]
    lines = "\n".join(json.dumps(item, default=_base64) for item in items)
    done = subprocess.run(
        command, input=lines, env={**os.environ, **other}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BadSource(
            f"{entity.name}: its transformation fails in a second process: {done.stderr[-500:]}. Nothing is live"
        )
    found: list[Any] = json.loads(done.stdout.rpartition("\n")[2])
    return found


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _id(entity: Entity, item: Any) -> str:
    try:
        return dynamodb_item.key_of(entity, item)
    except BadItem as error:
        return f"({error.type})"


def _difference(one: Any, two: Any) -> str:
    if not isinstance(one, dict) or not isinstance(two, dict):
        return "it is poison once, and another time it is not, or for another reason"
    return ", ".join(sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name)))


def _main() -> None:
    of = entity(sys.argv[1])
    found = []
    for line in sys.stdin:
        item = json.loads(line)
        found.append(_rendered(of, dict(reversed(item.items())) if isinstance(item, dict) else item))
    sys.stdout.write("\n" + json.dumps(found))


if __name__ == "__main__":
    _main()
