"""The files of an entity that is made from a table of DynamoDB."""

from typing import Any

from searchsync.catalog import CATALOG, Entity, why_not_beside
from searchsync.errors import BadParams, BadSource
from searchsync.mapping.mapping_file import reserved
from searchsync.scaffold import files, search
from searchsync.scaffold.dynamodb_fields import field_of
from searchsync.scaffold.dynamodb_kinds import kinds
from searchsync.scaffold.dynamodb_table import Table
from searchsync.scaffold.files import Made
from searchsync.selection import Selection

FILES = {
    "mapping": "mappings/{}.json",
    "smoke": "mappings/{}.smoke.json",
    "expectations": "expectations/{}.yaml",
    "entity": "entities/{}.yaml",  # the last: an entity is there when all of its files are
}
"""The files of such an entity, below the include folder."""

_OF_OPENSEARCH = {
    *("_id", "_index", "_source", "_routing", "_ignored", "_field_names", "_nested_path", "_type", "_version"),
    *("_seq_no", "_primary_term", "_doc_count", "_size", "_data_stream_timestamp"),
}
"""Names that no field may have."""


def check_table(made: Entity) -> None:
    """Refuse a table that is another entity's, where the two would not be apart.

    :param made: the entity as far as it is known before the table is read
    :raises BadParams: when it is
    """
    for other in CATALOG.values():
        if reason := why_not_beside(made, other):
            raise BadParams(
                f"{reason}. Nothing was written. The new one selects by --select ATTRIBUTE=VALUE or PREFIX*"
            )


def selection_of(text: str) -> Selection | None:
    """Return what ``--select`` says: ``ATTRIBUTE=VALUE``, or ``ATTRIBUTE=PREFIX*``; None for an empty text.

    :raises BadParams: when it says neither
    """
    if not text:
        return None
    attribute, _, value = text.partition("=")
    if not attribute or value in ("", "*"):
        raise BadParams(
            f"--select {text!r} selects nothing. Nothing was written. It is ATTRIBUTE=VALUE, or ATTRIBUTE=PREFIX* for "
            "values that begin so"
        )
    if value.endswith("*"):
        return Selection(attribute, prefix=value[:-1])
    return Selection(attribute, equals=value)


def make(table: Table, entity: Entity) -> Made:
    """Return the files of an entity.

    :param entity: the entity as far as it is known before the table is read
    :raises BadSource: when items have an attribute that no document can have
    """
    name = entity.name
    if entity.select and dict(zip(table.key, table.key_types, strict=True)).get(entity.select.attribute, "S") != "S":
        raise BadParams(f"{entity.select.attribute} is no string, and only strings can select. Nothing was written")
    notes: list[str] = _of_kinds(table, entity)
    if not table.sample:
        what = f"items with {entity.select} in what was read of it" if entity.select else "items"
        notes.append(f"{table.name} has no {what}: key and time to live alone are known; add the fields by hand")
    if table.stream != "NEW_AND_OLD_IMAGES":
        notes.append(
            f"the stream of {table.name} is {table.stream or 'off'}: check and reindex refuse it before this was run: "
            f"aws dynamodb update-table --table-name {table.name} --stream-specification "
            "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        )
    fields = _fields(table, notes)
    unknown = "count_difference" if entity.select else ""
    there = {"severity": "critical", "type": "expect_column_values_to_not_be_null"}
    keys = [{"name": f"the key {name} is there", **there, "column": name} for name in table.key if name in fields]
    head = f"# What must hold of the documents of `{name}` and of the items they come from. Add what yours promise."
    made = {
        "mapping": files.mapping(fields),
        "smoke": files.smoke_queries(
            {field: of for field, of in fields.items() if field != table.expires}, table.key[0]
        ),
        "expectations": files.expectations(head, "dynamodb", keys, left_out=unknown),
        "entity": _entity(table, entity, notes, search.block(fields, [*table.key], str(table.expires or ""))),
    }
    return Made(made, notes)


def _fields(table: Table, notes: list[str]) -> dict[str, Any]:
    keys = dict(zip(table.key, table.key_types, strict=True))
    fields: dict[str, Any] = {}
    for name in dict.fromkeys([*keys, *sorted({name for item in table.sample for name in item} - {table.expires})]):
        if reserved(name):
            raise BadSource(
                f"items of {table.name} have the attribute {name!r}, and 'sync' is the state that each document keeps: "
                "no document can be made of them. Nothing was written; the application has to rename the attribute"
            )
        if "." in name or not name.strip() or name in _OF_OPENSEARCH:
            notes.append(f"{name!r} can name no field, so it is left out of the documents and counted")
            continue
        values = [item[name] for item in table.sample if name in item]
        fields[name] = {"type": "keyword"} if keys.get(name) in ("S", "B") else field_of(values, name, notes)
    if table.expires:
        fields[table.expires] = {"type": "date", "format": "epoch_second", "ignore_malformed": True}
    return fields


def _of_kinds(table: Table, entity: Entity) -> list[str]:
    found = {} if entity.select else kinds(table.sample, table.key)
    if not found:
        return []
    seen = ", ".join(f"'{one}' ({count})" for one, count in found.items())
    said = (
        f"the items of {table.name} seem to be of several kinds; the sample has {seen}. If they are not all documents "
        f"of {entity.name}, move these files away and make an entity of each kind, with entity new --select "
        f"'{next(iter(found))}'"
    )
    return [said]


def _entity(table: Table, entity: Entity, notes: list[str], searched: list[str]) -> str:
    select = {name: value for name, value in vars(entity.select).items() if value} if entity.select else {}
    lines = [
        "# yaml-language-server: $schema=entity.schema.json",
        f"# The items of {table.name}: a function on the table's stream writes each change.",
        *(f"# Look: {' '.join(note.split())}" for note in notes),  # names of attributes are data
        "source: dynamodb",
        f"connection: {entity.connection}",
        f"table: {files.as_yaml(table.name)}",
        f"key: {files.as_yaml([*table.key])}",
    ]
    lines += [f"key_types: {files.as_yaml([*table.key_types])}"] if set(table.key_types) != {"S"} else []
    lines += [f"select: {files.as_yaml(select)}"] if select else []
    lines += [f"expires: {files.as_yaml(table.expires)}"] if table.expires else []
    lines += [
        *_heartbeat(table, entity),
        files.TENANT,
        "# transform: {version: 1, rename: {FROM: TO}, drop: [NAME]}  # docs/entities.md has all that it can do",
        "unmapped: drop  # attributes that the sample did not have are left out and counted",
        "schedules:",
        "  reindex: 0 3 * * 0",
        "  quality: 20 * * * *",
        '  replay: "*/10 * * * *"',
        "freshness:",
        "  hours: 192  # since the last weekly reindex that succeeded; in between, the stream keeps the index true",
    ]
    return "\n".join([*lines, *searched]) + "\n"


def _heartbeat(table: Table, entity: Entity) -> list[str]:
    """Return the lines of the item that measures how soon a change is searchable.

    It has what the key and the selection ask for, and nothing that people search by.
    """
    select, (first, *sort) = entity.select, table.key
    if table.key_types[0] != "S" or "B" in table.key_types:
        return ["# heartbeat: not for this key: its first part has to be a string, and no part binary"]
    if select and select.attribute == first and select.equals:
        return [f"# heartbeat: not for this selection: its items share the partition {files.as_yaml(select.equals)}"]
    chosen = {select.attribute: select.equals or select.prefix} if select else {}
    item: dict[str, str | int] = {
        first: f"{chosen.pop(first, '')}{entity.name}-searchsync-heartbeat",
        **{name: 0 if kind == "N" else "heartbeat" for name, kind in zip(sort, table.key_types[1:], strict=True)},
        **chosen,
    }
    return [
        "heartbeat:  # measures how soon a change is searchable",
        *(f"  {n}: {files.as_yaml(v)}" for n, v in item.items()),
    ]
