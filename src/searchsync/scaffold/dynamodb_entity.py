"""The files of an entity that is made from a table of DynamoDB."""

from typing import Any

from searchsync.catalog import CATALOG
from searchsync.errors import BadParams, BadSource
from searchsync.mapping.mapping_file import reserved
from searchsync.scaffold import files
from searchsync.scaffold.dynamodb_fields import field_of
from searchsync.scaffold.dynamodb_table import Table
from searchsync.scaffold.files import Made

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


def check_table(table: str, *, connection: str) -> None:
    """Refuse a table that is another entity's: each of the two would delete what the other one wrote.

    :raises BadParams: when it is
    """
    for other in CATALOG.values():
        if other.source == "dynamodb" and (other.connection, other.table) == (connection, table):
            raise BadParams(
                f"{other.name} is made from the table {table} already: one table, one entity. Nothing was written"
            )


def make(name: str, table: Table, *, connection: str) -> Made:
    """Return the files of an entity.

    :param name: the entity's name
    :param connection: the id of the connection to the table's account
    :raises BadSource: when items have an attribute that no document can have
    """
    notes: list[str] = []
    if not table.sample:
        notes.append(f"{table.name} has no items: key and time to live alone are known; add the fields by hand")
    if table.stream != "NEW_AND_OLD_IMAGES":
        notes.append(
            f"the stream of {table.name} is {table.stream or 'off'}: check and reindex refuse it before this was run: "
            f"aws dynamodb update-table --table-name {table.name} --stream-specification "
            "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        )
    fields = _fields(table, notes)
    there = {"severity": "critical", "type": "expect_column_values_to_not_be_null"}
    keys = [{"name": f"the key {name} is there", **there, "column": name} for name in table.key if name in fields]
    head = f"# What must hold of the documents of `{name}` and of the items they come from. Add what yours promise."
    made = {
        "mapping": files.mapping(fields),
        "smoke": files.smoke_queries(
            {field: of for field, of in fields.items() if field != table.expires}, table.key[0]
        ),
        "expectations": files.expectations(head, "dynamodb", keys),
        "entity": _entity(table, connection, notes),
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


def _entity(table: Table, connection: str, notes: list[str]) -> str:
    lines = [
        "# yaml-language-server: $schema=entity.schema.json",
        f"# The items of {table.name}: a function on the table's stream writes each change.",
        *(f"# Look: {' '.join(note.split())}" for note in notes),  # names of attributes are data
        "source: dynamodb",
        f"connection: {connection}",
        f"table: {files.as_yaml(table.name)}",
        f"key: {files.as_yaml([*table.key])}",
    ]
    lines += [f"key_types: {files.as_yaml([*table.key_types])}"] if set(table.key_types) != {"S"} else []
    lines += [f"expires: {files.as_yaml(table.expires)}"] if table.expires else []
    lines += [
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
    return "\n".join(lines) + "\n"
