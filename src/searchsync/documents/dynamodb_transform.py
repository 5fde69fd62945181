"""What an entity's transformation makes of an item: another item, of which the document is written as of any other.

The order is take, rename, drop, constant, Python. The item as it is stored is never changed. Its key is the document's
id, and the attribute of its time to live stays as it is stored, because DynamoDB removes the item by it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from searchsync.catalog import Entity, Transformation
from searchsync.documents import python_transform
from searchsync.documents.dynamodb_values import BadItem
from searchsync.documents.plain_values import plain_item, typed_item, typed_value
from searchsync.errors import BadEntity, BadMapping

Item = dict[str, Any]
"""An item in DynamoDB's JSON."""

Change = Callable[[Item], Item]


def changed(entity: Entity, transform: Transformation, item: Item) -> Item:
    """Return what the document of an item is made of.

    :param transform: the entity's
    :raises BadItem: when the transformation makes nothing that a document can be made of
    :raises BadSource: when its Python file cannot be used
    """
    return _change(transform, entity.transform_code, entity.expires)(item)


def check(entity: Entity) -> None:
    """Refuse a transformation that cannot be used, before any item is read.

    :raises BadEntity: when a constant is none that a document can have
    :raises BadMapping: when it writes a field that the mapping does not have
    :raises BadSource: when its Python file cannot be used
    """
    if (transform := entity.transform) is None:
        return
    try:
        _change(transform, entity.transform_code, entity.expires)
    except BadItem as error:
        raise BadEntity(f"include/entities/{entity.name}.yaml: transform.constant: {error}") from None
    written = {*transform.take, *transform.rename.values(), *transform.constant}
    missing = sorted(written - entity.index_body["mappings"]["properties"].keys())
    if missing and not transform.python:
        raise BadMapping(
            f"include/entities/{entity.name}.yaml: transform writes {', '.join(missing)}, and "
            f"include/mappings/{entity.name}.json has no such field: it would be left out of each document"
        )


@cache
def _change(transform: Transformation, code: str, expires: str | None) -> Change:
    declared = _declared(transform)
    if not transform.python:
        return declared
    written = _written(transform, code)

    def change(item: Item) -> Item:
        made = written(declared(item))
        if expires is not None:
            made.pop(expires, None)
            if expires in item:
                made[expires] = item[expires]
        return made

    return change


def _declared(transform: Transformation) -> Change:
    take = [(name, path.split(".")) for name, path in transform.take.items()]
    rename = [*transform.rename.items()]
    constant = {name: typed_value(value, name) for name, value in transform.constant.items()}

    def change(item: Item) -> Item:
        made = dict(item)
        for name, path in take:
            if (found := _at(item, path)) is not None:
                made[name] = found
        made |= {name: made.pop(before) for before, name in rename if before in made}
        for name in transform.drop:
            made.pop(name, None)
        return made | constant

    return change


def _at(item: Item, path: list[str]) -> Any:
    """Return the attribute that a path through maps leads to; None when it leads to none."""
    found: Any = {"M": item}
    for name in path:
        inner = found.get("M") if isinstance(found, dict) else None
        if not isinstance(inner, dict):
            return None
        found = inner.get(name)
    return found


def _written(transform: Transformation, code: str) -> Change:
    """Return what the Python file makes of an item. The function gets values of its own, which it may change."""
    path, name = transform.path, f"include/transforms/{transform.python}"
    function = python_transform.load(path, code)

    def change(item: Item) -> Item:
        values = plain_item(item)
        try:
            returned = function(values)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the owner's code, and may raise anything
            line = python_transform.line_of(error.__traceback__, path)
            raise BadItem("transform", f"{name}, line {line}: {type(error).__name__}") from None
        try:
            return typed_item(returned)
        except BadItem as error:
            raise BadItem("transform", f"{name}: {error}") from None

    return change
