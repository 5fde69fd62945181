"""The files of a new entity: their common parts, their text, and how they are written without replacing any."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from searchsync.catalog import BAD_ENTITIES, CATALOG, include_dir, why_no_name
from searchsync.errors import BadParams

_LINE = 118

SETTINGS = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-2",
    "refresh_interval": "1s",
    "search.slowlog.threshold.query.warn": "1s",
    "indexing.slowlog.threshold.index.warn": "1s",
    "indexing.slowlog.source": "0",  # the log tells ids, not what is in the documents
    "analysis": {
        "analyzer": {"words": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]}},
        "normalizer": {"exact": {"type": "custom", "filter": ["lowercase", "asciifolding"]}},
    },
}
SYNC = {
    "properties": {
        "position": {"type": "keyword"},
        "deleted": {"type": "boolean"},
        "written_at": {"type": "date", "index": False},
        "bucket": {"type": "short"},
        "hash_high": {"type": "long", "index": False},
        "hash_low": {"type": "long", "index": False},
    }
}
"""Mapping of the state that the writer keeps with each document."""


TENANT = "# tenant: FIELD  # of documents that belong to tenants: the keyword field that holds whose a document is"
"""Line of an entity file for what no table tells."""


@dataclass(frozen=True)
class Made:
    """The files of a new entity.

    :ivar files: text by what the file is
    :ivar notes: what a person should look at
    """

    files: dict[str, str]
    notes: list[str]


def check_new(name: str, suffixes: Mapping[str, str]) -> dict[str, Path]:
    """Return the paths of an entity's files, by what they are. Refuse a name that is taken or that can name nothing.

    :param suffixes: folder in ``include`` and the end of the file's name, by what the file is
    :raises BadParams: when the name cannot be used, or one of the files is there
    """
    if reason := why_no_name(name):
        raise BadParams(f"{name!r} cannot name an entity. Nothing was written. A name has {reason}")
    paths = {what: include_dir() / place.format(name) for what, place in suffixes.items()}
    there = [str(path) for path in paths.values() if path.exists()]
    if name in CATALOG or name in BAD_ENTITIES or there:
        named = ", ".join(there) or f"the entity {name}"
        raise BadParams(
            f"{named} is there already. Nothing was written, and no file is ever replaced. Choose another name, or "
            "move these files away and run this again"
        )
    return paths


def write(files: Mapping[Path, str]) -> None:
    """Write files that are not there yet, in their order. Leave none of them behind when one cannot be written.

    :raises BadParams: when a file is there or cannot be written
    """
    written: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise BadParams(
            f"cannot write {error.filename}: {error.strerror}. Nothing was left behind; correct the folder "
            f"{include_dir()} (SEARCHSYNC_INCLUDE) and run this again"
        ) from error


def mapping(fields: Mapping[str, Any]) -> str:
    """Return the text of the mapping file."""
    mappings = {"dynamic": "strict", "properties": {**fields, "sync": SYNC}}
    return as_json({"settings": SETTINGS, "mappings": mappings})


def as_json(value: Any, indent: int = 0, *, before: int = 0, split: int = 3) -> str:
    """Return JSON for people: what fits into a line stands in one.

    :param before: number of characters that the line has already
    :param split: depth down to which an object is divided in any case
    """
    text = json.dumps(value, ensure_ascii=False)
    short = indent + before + len(text) < _LINE and (split <= 0 or not _has_objects(value))
    if not isinstance(value, dict | list) or not value or short:
        return f"{text}\n" if indent == 0 else text
    inner, outer = " " * (indent + 2), " " * indent
    if isinstance(value, dict):
        keys = {key: f"{json.dumps(key, ensure_ascii=False)}: " for key in value}
        parts = [
            f"{inner}{keys[key]}{as_json(part, indent + 2, before=len(keys[key]), split=split - 1)}"
            for key, part in value.items()
        ]
    else:
        parts = [f"{inner}{as_json(part, indent + 2, split=split - 1)}" for part in value]
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{start}\n" + ",\n".join(parts) + f"\n{outer}{end}" + ("\n" if indent == 0 else "")


def _has_objects(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(isinstance(part, dict) for part in parts)


def as_yaml(value: Any) -> str:
    """Return a value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


# -- smoke queries

_OF_EACH_KIND = 3
_NAME = re.compile(r"\w+(\.\w+)*")
_NUMBERS = ("long", "integer", "short", "double", "float", "scaled_float")


def smoke_queries(fields: Mapping[str, Any], key: str = "") -> str:
    """Return the text of the file of smoke queries: each of them looks for documents by their own values.

    :param fields: the mapping's fields
    :param key: the field by which one document is found; empty when there is none
    """
    queries: list[dict[str, Any]] = []
    asked: dict[str, int] = {}
    for path, field in sorted(_leaves(fields).items(), key=lambda leaf: leaf[0] != key):
        kind = "number" if field["type"] in _NUMBERS else field["type"]
        if _NAME.fullmatch(path) and asked.get(kind, 0) < _OF_EACH_KIND and (query := _smoke(path, kind)):
            asked[kind] = asked.get(kind, 0) + 1
            queries.append(query)
    return as_json(queries, split=2)


def _smoke(path: str, kind: str) -> dict[str, Any] | None:
    sample, value = {"exists": {"field": path}}, f"${{{path}}}"
    if kind == "text":
        query: dict[str, Any] = {
            "match": {path: {"query": value, "operator": "and", "zero_terms_query": "all"}},
        }
        return {"name": f"words of {path}", "sample": sample, "extremes": f"{path}.exact", "query": query}
    if kind in ("keyword", "ip"):
        return {"name": f"value of {path}", "sample": sample, "query": {"term": {path: value}}}
    if kind in ("number", "date"):
        between = {"range": {path: {"gte": value, "lte": value}}}
        return {"name": f"range of {path}", "sample": sample, "query": between}
    return None


def _leaves(fields: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if "properties" in field:
            found |= _leaves(field["properties"], f"{above}{name}.")
        elif field.get("enabled") is not False:
            found[above + name] = field
    return found


# -- expectations

_CRITICAL, _WARNING = "critical", "warning"
_OPERATIONS: dict[str, list[tuple[str, str, str, dict[str, Any]]]] = {
    "postgres": [
        ("all changes of the last hours are there", _CRITICAL, "hours_since_sync", {"limit": "hours"}),
        ("the index takes writes", _CRITICAL, "blocked", {"max_value": 0}),
        ("the last full comparison is recent", _WARNING, "hours_since_comparison", {"limit": "comparison"}),
    ],
    "dynamodb": [
        ("the stream is up to date", _CRITICAL, "stream_lag_seconds", {"limit": "stream_lag"}),
        ("the dead-letter queue is short", _CRITICAL, "waiting_messages", {"limit": "dead_letters"}),
        ("no message waits long", _CRITICAL, "oldest_message_seconds", {"limit": "oldest_message"}),
        ("no message waits for a person", _WARNING, "parked_messages", {"limit": "parked"}),
        ("no changes are lost", _CRITICAL, "gaps", {"max_value": 0}),
        ("the index takes writes", _CRITICAL, "blocked", {"max_value": 0}),
        ("the last reindex is recent", _WARNING, "hours_since_sync", {"limit": "hours"}),
        ("the table's own count and the index are about equal", _WARNING, "count_difference", {"max_value": 0.1}),
        ("the last full comparison is recent", _WARNING, "hours_since_comparison", {"limit": "comparison"}),
    ],
}
_COMPARISON = [
    ("nothing is missing in the index", _CRITICAL, "missing"),
    ("no document is without its source", _CRITICAL, "orphan"),
    ("no document is stale", _CRITICAL, "stale"),
    ("no document was changed around the writer", _CRITICAL, "changed_around"),
    ("all of the source can be documents", _CRITICAL, "unusable"),
    ("no value is left out of a document", _WARNING, "left_out"),
    ("no more differs than can be looked at", _CRITICAL, "not_looked_at"),
    ("the index has the present mapping and rendering", _WARNING, "reindex_due"),
]


def expectations(head: str, source: str, rows: list[dict[str, Any]], query: str = "", *, left_out: str = "") -> str:
    """Return the text of the file of expectations.

    :param head: first line, a comment
    :param rows: expectations of the rows or items
    :param query: for PostgreSQL: the SELECT of the rows
    :param left_out: a figure that the entity does not have
    """
    most = "expect_column_max_to_be_between"
    operations: list[dict[str, Any]] = [
        {"name": name, "severity": severity, "type": most, "column": column} | limit
        for name, severity, column, limit in _OPERATIONS[source]
        if column != left_out
    ]
    equal: dict[str, Any] = {"name": "source and index counts are equal", "severity": _CRITICAL}
    equal |= {"type": "expect_column_pair_values_to_be_equal", "column_A": "source_documents"}
    comparison = [equal | {"column_B": "index_documents"}]
    comparison += [
        {"name": name, "severity": severity, "type": most, "column": column, "max_value": 0}
        for name, severity, column in _COMPARISON
    ]
    lines = [head, "operations:  # one row: figures of searchsync.quality.health", *_items(operations)]
    lines += ["comparison:  # one row: what was confirmed, without what was only under way", *_items(comparison)]
    lines += ["query: |", *(f"  {line}" for line in query.splitlines())] if query else []
    return "\n".join([*lines, "rows:", *_items(rows)]) + "\n"


def _items(described: list[dict[str, Any]]) -> list[str]:
    return [f"  - {as_yaml(one)}" for one in described]
