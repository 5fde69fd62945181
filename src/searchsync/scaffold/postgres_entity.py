"""The files of an entity that is made from a table of PostgreSQL."""

import re
import textwrap
from dataclasses import dataclass
from typing import Any

from searchsync.catalog import DEFAULT_CONNECTION
from searchsync.scaffold import field_choice, files, search
from searchsync.scaffold.field_choice import Choice
from searchsync.scaffold.files import Made
from searchsync.scaffold.postgres_table import Column, Table

FILES = {
    "sql": "sql/{}.sql",
    "mapping": "mappings/{}.json",
    "smoke": "mappings/{}.smoke.json",
    "expectations": "expectations/{}.yaml",
    "entity": "entities/{}.yaml",  # the last: an entity is there when all of its files are
}
"""The files of such an entity, below the include folder."""

_CHANGED = re.compile(r"(row_?)?(last_?)?(updated?|modif(y|ied)|changed?)(_?(at|on|time|ts|date|timestamp))?", re.I)
"""Names of columns that may say when a row was last changed."""

_GONE = re.compile(r"(is_?)?(soft_?)?(deleted|removed|archived)(_?(at|on|time))?", re.I)
"""Names of columns by which applications mark rows that are not to be seen any more."""

_TIMES = ("timestamp with time zone", "timestamp without time zone")
_LONGEST_NAME = 55


@dataclass(frozen=True)
class _Line:
    """A column of the table and what becomes of it.

    :ivar field: name of the field
    """

    column: Column
    choice: Choice
    field: str

    @property
    def source(self) -> str:
        """The column as the SQL file names it."""
        return f"t.{self.column.quoted}"


def make(name: str, table: Table, *, connection: str) -> Made:
    """Return the files of an entity.

    :param name: the entity's name
    :param connection: the id of the connection to the table's database
    """
    lines = _lines(table)
    shown = [line for line in lines if line.choice.field is not None]
    fields = {line.field: line.choice.field for line in shown}
    key = [line.field for line in lines if line.column.name in table.key]
    key.sort(key=lambda field: table.key.index(next(line.column.name for line in lines if line.field == field)))
    changed, why_not = _changed(table, lines)
    made = {
        "sql": _sql(name, table, lines),
        "mapping": files.mapping(fields),
        "smoke": files.smoke_queries(fields, key[0] if len(key) == 1 else ""),
        "expectations": _expectations(name, table, lines, changed),
        "entity": _entity(name, table, connection, key, (changed, why_not), search.block(fields, key)),
    }
    notes = [f"{line.field}: {line.choice.note}" for line in lines if line.choice.note]
    if not table.sample:
        notes.insert(0, f"{table.quoted} has no rows: the types come from the catalog alone; look at every text column")
    return Made(made, notes + [why_not] * bool(why_not))


def _lines(table: Table) -> list[_Line]:
    lines: list[_Line] = []
    taken: set[str] = set()
    for at, column in enumerate(table.columns, 1):
        choice = field_choice.choose(column, _values(table, column))
        if column.name in table.key and (choice.field is None or choice.casts or choice.template):
            choice = _uncast(column)
        elif column.name in table.key and (choice.field or {}).get("type") == "text":
            choice = Choice(field_choice.KEYWORD, note="part of the key, so it is looked for as a whole")
        field = _field_name(column.name, at)
        while field.lower() in taken:
            field += f"_{at}"
        taken.add(field.lower())
        lines.append(_Line(column, choice, field))
    return lines


def _uncast(column: Column) -> Choice:
    """Return what becomes of a column of the key: a cast would read it without its index, or make two keys equal."""
    if column.type.startswith("numeric"):
        note = "part of the key, so it is not rounded to a double: it is shown, and found by _id alone"
        return Choice(field_choice.NOT_SEARCHED, note=note)
    return Choice(field_choice.KEYWORD, note="part of the key, so it is not cast: its text is a keyword")


def _field_name(column: str, at: int) -> str:
    """Return the field's name: the column's, without what OpenSearch or this library takes for something else."""
    name = re.sub(r"\W+", "_", column).strip("_") if re.search(r"\W|^_", column) else column
    name = name.encode()[:_LONGEST_NAME].decode(errors="ignore") or f"column_{at}"
    return f"{name}_" if name == "sync" else name


def _values(table: Table, column: Column) -> list[Any]:
    """Return the values of a column in the sample; of an array all elements."""
    found = (row.get(column.name) for row in table.sample)
    return [one for value in found for one in (_flat(value) if column.is_array else [value]) if one is not None]


def _flat(value: Any) -> list[Any]:
    return [one for part in value for one in _flat(part)] if isinstance(value, list) else [value]


# -- SQL


def _sql(name: str, table: Table, lines: list[_Line]) -> str:
    head = [
        f"-- One row of {_comment(table.quoted)} -> one document of the index `{name}`.",
        "-- _id is the document's id; every other column is a field, under its name.",
        "-- Raise this version when the documents change; `searchsync reindex` refuses a change that does not.",
        "-- transform: 1",
        "SELECT",
        *_id_notes(table),
    ]
    entries: list[tuple[list[str], str]] = [([], f"{_id(table, lines)} AS _id")]
    left_out: list[str] = []
    for line in lines:
        told = f": {_comment(line.column.comment)}" if line.column.comment else ""
        if line.choice.field is None:
            left_out += _wrapped(f"{_comment(line.column.name)} {line.column.declared}: {line.choice.note}")
            continue
        notes = [f"-- {line.field} is {_comment(line.column.declared)}{told}"] if told else []
        notes += _wrapped(f"Look: {line.choice.note}") if line.choice.note else []
        entries.append((left_out + notes, _column(line)))
        left_out = []
    body = []
    for at, (notes, text) in enumerate(entries):
        body += [*notes, text + "," * (at < len(entries) - 1)]
    end = [f"FROM {table.quoted} AS t", *_gone(lines)]
    return "\n".join([*head, *(f"    {line}" for line in body + left_out), *end]) + "\n"


def _column(line: _Line) -> str:
    expression = line.choice.expression(line.source, is_array=line.column.is_array)
    named = line.column.quoted if line.field == line.column.name else f'"{line.field}"'
    return expression if expression == line.source and named == line.column.quoted else f"{expression} AS {named}"


def _id(table: Table, lines: list[_Line]) -> str:
    casts = {"character": "::text"}  # it takes off the blanks that fill up char(n)
    by_name = {line.column.name: line.source + casts.get(line.column.type.split("(")[0], "") for line in lines}
    columns = [by_name[column] for column in table.key]
    if len(columns) == 1:
        return f"{columns[0].removesuffix('::text')}::text"
    return f"json_build_array({', '.join(columns)})::text"


def _id_notes(table: Table) -> list[str]:
    if len(table.key) == 1:
        return []
    return [
        f"    -- The {table.key_of} has {len(table.key)} columns. No two keys have the same JSON array, whatever their",
        "    -- values are; joined by a separator, ('a-b', 'c') and ('a', 'b-c') would be one document.",
    ]


def _gone(lines: list[_Line]) -> list[str]:
    """Return a condition, as a comment, that leaves out the rows that an application marks as deleted."""
    line = next((line for line in lines if _GONE.fullmatch(line.column.name)), None)
    if line is None or not (line.column.type == "boolean" or line.column.type in (*_TIMES, "date")):
        return []
    condition = f"{line.source} IS NULL" if line.column.type != "boolean" else f"{line.source} IS NOT TRUE"
    return [f"-- Look: are these rows deleted for those who search? Then they need: WHERE {condition}"]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 114, initial_indent="-- ", subsequent_indent="--   ")


def _comment(text: str) -> str:
    """Return text that stays in its line of a comment."""
    return " ".join(text.split())[:200]


# -- the entity's file and its expectations


def _changed(table: Table, lines: list[_Line]) -> tuple[str, str]:
    """Return the field that says when a row was last changed, if a sync can read by it; else empty, and why."""
    named = [line for line in lines if _CHANGED.fullmatch(line.column.name) and not line.column.is_array]
    times = [line for line in named if line.column.type in _TIMES]
    good = [line for line in times if line.column.not_null and line.column.name in table.indexed]
    if good:
        return good[0].field, ""
    if not times:
        return "", "no column says when a row was last changed: there is no sync, and changes wait for the reindex"
    (line, *_) = times
    lacks = [] if line.column.not_null else [f"ALTER TABLE {table.quoted} ALTER {line.column.quoted} SET NOT NULL"]
    if line.column.name not in table.indexed:
        lacks.append(f"CREATE INDEX ON {table.quoted} ({line.column.quoted})")
    return "", f"{line.field} may say when a row was last changed; a sync by it needs: {'; '.join(lacks)}"


def _entity(
    name: str, table: Table, connection: str, key: list[str], changed: tuple[str, str], searched: list[str]
) -> str:
    column, why_not = changed
    lines = [
        "# yaml-language-server: $schema=entity.schema.json",
        f"# The rows of {_comment(table.quoted)}: include/sql/{name}.sql makes a document of each.",
        "source: postgres",
        f"connection: {connection or DEFAULT_CONNECTION['postgres']}",
        f"key: {files.as_yaml(key)}  # {table.key_of}",
    ]
    lines += [f"changed: {files.as_yaml(column)}"] if column else [f"# changed: {_comment(why_not)}"]
    lines += [files.TENANT, "schedules:", "  reindex: 0 2 * * *"]
    lines += ["  sync: 0 * * * *"] if column else []
    lines += ["  quality: 20 * * * *", "freshness:"]
    hours = ("3", "or hourly sync ") if column else ("30", "")
    lines += [f"  hours: {hours[0]}  # since the last reindex {hours[1]}that succeeded"]
    return "\n".join([*lines, *searched]) + "\n"


def _expectations(name: str, table: Table, lines: list[_Line], changed: str) -> str:
    query = [f"SELECT {_id(table, lines)} AS document_id"]
    rows: list[dict[str, Any]] = [
        {"name": "the id is unique", "severity": "critical", "type": "expect_column_values_to_be_unique"},
        {"name": "the id is there", "severity": "critical", "type": "expect_column_values_to_not_be_null"},
    ]
    for row in rows:
        row["column"] = "document_id"
    line = next((line for line in lines if line.field == changed), None)
    if line is not None:
        query[0] += ","
        query.append(f"       {line.source} > now() + interval '5 minutes' AS in_the_future")
        rows.append(
            {"name": "no change is of the future", "severity": "warning", "type": "expect_column_values_to_be_in_set"}
            | {"column": "in_the_future", "value_set": [False]}
        )
    query.append(f"FROM {table.quoted} AS t")
    head = f"# What must hold of the documents of `{name}` and of the rows they come from. Add what your data promises."
    return files.expectations(head, "postgres", rows, "\n".join(query))
