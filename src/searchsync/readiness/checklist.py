"""The items (``include/policies/readiness.yaml``), and what people have stated about them (``statements.yaml``)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from searchsync import alarms
from searchsync.catalog import include_dir
from searchsync.checked_yaml import CheckedYaml

ITEMS: Final = 30
"""Number of items of the source document's checklist (003:L596-638)."""


@dataclass(frozen=True)
class Item:
    """An item.

    :ivar says: what is so when it is passed
    :ivar preflight: names of lines of the preflight
    :ivar checks: names of checks of this room
    :ivar quiet: rows of ``alarms.yaml``
    :ivar report: path of a page with a date, in the repository; empty for none
    :ivar statement: whether a person has to say something
    """

    name: str
    group: str
    says: str
    preflight: tuple[str, ...]
    checks: tuple[str, ...]
    quiet: tuple[str, ...]
    report: str
    statement: bool


@dataclass(frozen=True)
class Statement:
    """What a person has said.

    :ivar owner: who
    """

    date: date
    owner: str
    says: str


@dataclass(frozen=True)
class Checklist:
    """Both files.

    :ivar days: that a report or a statement counts
    :ivar statements: by the name of the item
    """

    days: int
    items: tuple[Item, ...]
    statements: Mapping[str, Statement]


def read() -> Checklist:
    """Read the items and the statements.

    :raises BadParams: when a file is not what its schema says, when an item is missing, unknown or there twice, or when
        a statement is about none of the items that ask for one; the message names file, line and key
    """
    folder = include_dir() / "policies"
    file = CheckedYaml(folder / "readiness.yaml", "readiness.schema.json")
    items = tuple(
        _item(name, group, row) for group, rows in file.content["items"].items() for name, row in rows.items()
    )
    file.refuse([*_problems(file, items)])
    said = CheckedYaml(folder / "statements.yaml", "statements.schema.json")
    statements = {name: _statement(said, name, row) for name, row in said.content["statements"].items()}
    asked = sorted(item.name for item in items if item.statement)
    text = f"is no item that asks for a statement; those are {', '.join(asked)}"
    said.refuse([(said.line(["statements", name]), f"{name} {text}") for name in statements if name not in asked])
    return Checklist(file.content["days"], items, statements)


def _item(name: str, group: str, row: Mapping[str, Any]) -> Item:
    names = {key: tuple(row.get(key, ())) for key in ("preflight", "checks", "quiet")}
    return Item(name, group, row["says"], report=row.get("report", ""), statement=row.get("statement", False), **names)


def _problems(file: CheckedYaml, items: tuple[Item, ...]) -> Iterator[tuple[int, str]]:
    names = [item.name for item in items]
    for item in items:
        if names.count(item.name) > 1:
            yield file.line(["items", item.group, item.name]), f"the item {item.name} is there twice"
        for row in item.quiet:
            if row not in alarms.table():
                yield file.line(["items", item.group, item.name, "quiet"]), f"alarms.yaml has no row {row}"
    if len(items) != ITEMS:
        yield file.line(["items"]), f"there are {len(items)} items, and the checklist has {ITEMS}"


def _statement(file: CheckedYaml, name: str, row: Mapping[str, Any]) -> Statement:
    try:
        day = date.fromisoformat(row["date"])
    except ValueError:
        day = date.min
        file.refuse([(file.line(["statements", name, "date"]), f"statements.{name}.date is no day: {row['date']!r}")])
    return Statement(day, row["owner"], row["says"])
