"""The catalog: what is indexed, from where, and in which files its mapping and SQL live."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from searchsync.errors import BadEntity, BadMapping, BadParams, BadSource
from searchsync.heartbeat import Heartbeat
from searchsync.mapping import fitting, mapping_file
from searchsync.mapping.searching import Search
from searchsync.selection import Selection

BUCKETS = 1024
"""Number of buckets that a comparison sums over.

A hash half is below 2^32, so the sums stay exact doubles up to 2 M documents per bucket.
"""

TTL_DAYS = 1826
"""Five years: DynamoDB never removes an item that expired before that."""

STREAM_SECONDS = 86_400
"""Seconds for which a stream of DynamoDB keeps a record."""

DEFAULT_CONNECTION = {"postgres": "searchsync_postgres", "dynamodb": "aws_default"}
"""Connection of an entity whose file names none, by the kind of source."""

# The more a source can tell between two reindexes, the rarer they need to be: a stream tells all, a sync does not.
DEFAULT_SCHEDULES = {
    "postgres": {"reindex": "0 2 * * *", "sync": "0 * * * *", "quality": "20 * * * *"},
    "dynamodb": {"reindex": "0 3 * * 0", "quality": "20 * * * *", "replay": "*/10 * * * *"},
}
"""When the DAGs of an entity run whose file does not say it: cron expressions, by kind of source and operation."""


def include_dir() -> Path:
    """Return the folder with mappings, SQL and policies.

    It is ``SEARCHSYNC_INCLUDE`` if set, else the folder inside the library (in a function's package), else ``include/``
    of the checkout.
    """
    if named := os.environ.get("SEARCHSYNC_INCLUDE"):
        return Path(named)
    packed = Path(__file__).with_name("include")
    return packed if packed.is_dir() else Path(__file__).parents[2] / "include"


@dataclass(frozen=True)
class SmokeQuery:
    """A search that a new index has to answer (``searchsync.operations.smoke``).

    :ivar sample: a query that picks the documents to look for
    :ivar query: a query that must find each sample, with placeholders for values of the sample
    :ivar extremes: a keyword field whose longest, shortest and one non-Latin value are tried as well
    """

    name: str
    sample: dict[str, Any]
    query: dict[str, Any]
    extremes: str | None = None


@dataclass(frozen=True, eq=False)
class Transformation:
    """What is changed in an item of DynamoDB before its document is made (``documents.dynamodb_transform``).

    :param version: whoever changes what the transformation makes has to raise it
    :param take: fields, each with the path through maps where its value is
    :param rename: attributes, each with its new name
    :param drop: attributes that no document has
    :param constant: fields with the same value in each document
    :param python: file in ``include/transforms``; empty when there is none
    """

    version: int
    take: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: Sequence[str] = ()
    constant: Mapping[str, Any] = field(default_factory=dict)
    python: str = ""

    @property
    def path(self) -> Path:
        """The Python file."""
        return include_dir() / "transforms" / self.python


@dataclass(frozen=True)
class Entity:
    """One kind of document, as its file in ``include/entities`` describes it (``entity.schema.json`` says how).

    :param name: name of the entity; also the name of the read alias and the stem of the entity's files
    :param source: the kind of database it comes from
    :param key: for PostgreSQL: the columns of the SQL file that order its rows. Together they are unique and not NULL,
        and ranges are cut along them. For DynamoDB: the partition key, and the sort key if the table has one
    :param key_types: for DynamoDB: S, N or B for each part of the key; strings where the file does not say it
    :param select: for DynamoDB: which items of the table are the entity's; None for all
    :param connection: Airflow's connection id; a shell's variables are named after it
    :param table: for DynamoDB: the table
    :param sql_file: for PostgreSQL: file in ``include/sql``
    :param expires: the field that holds the epoch second after which a document is not shown any more (DynamoDB's TTL)
    :param tenant: the field of the document that holds its tenant (``mapping.field_types.why_no_tenant``); None when
        there are no tenants. A document without one is in the index, and no filter by a tenant finds it
    :param search: what people may search for in the search API; None when it does not serve the entity
    :param changed: the column of the SQL file that says when a row was last changed; the table has an index on it
    :param unmapped: what happens to an item of DynamoDB when the mapping has no place for an attribute or for a value's
        shape: ``drop`` leaves the value out and counts it, ``refuse`` takes the item for poison
    :param transform: for DynamoDB: what is changed in an item before its document is made; None when nothing is
    :param heartbeat: for DynamoDB: the item that measures how soon a change is searchable; None for no such item
    :param read_from: for DynamoDB: what a reindex loads: a ``scan`` of the table, or an ``export`` of it in S3
    :param schedules: cron expressions of the DAGs, by operation
    :param freshness: numbers of ``freshness.yaml`` that are others for this entity, and ``hours``
    :param thresholds: numbers of ``thresholds.yaml`` that are others for this entity
    """

    name: str
    source: Literal["postgres", "dynamodb"]
    key: tuple[str, ...]
    key_types: tuple[str, ...] = ()
    select: Selection | None = None
    connection: str = ""
    table: str = ""
    sql_file: str = ""
    expires: str | None = None
    tenant: str | None = None
    search: Search | None = None
    changed: str | None = None
    unmapped: Literal["drop", "refuse"] = "drop"
    transform: Transformation | None = None
    heartbeat: Heartbeat | None = field(default=None, hash=False)
    read_from: Literal["scan", "export"] = "scan"
    schedules: Mapping[str, str] = field(default_factory=dict, hash=False)
    freshness: Mapping[str, float] = field(default_factory=dict, hash=False)
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        defaults: dict[str, Any] = {
            "key_types": ("S",) * len(self.key),
            "connection": DEFAULT_CONNECTION[self.source],
            "table": self.name,
            "sql_file": f"{self.name}.sql",
        }
        for name, value in defaults.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)

    @property
    def sql_path(self) -> str:
        """The SQL file, as messages name it."""
        return f"include/sql/{self.sql_file}"

    def variable(self, what: str) -> str:
        """Return the name of the environment variable that holds something of this entity, such as a queue's URL."""
        return f"SEARCHSYNC_{self.name.upper()}_{what}"

    def cron(self, operation: str) -> str:
        """Return when an operation's DAG runs."""
        return self.schedules.get(operation) or DEFAULT_SCHEDULES[self.source][operation]

    @property
    def heartbeat_key(self) -> str:
        """The partition key of the heartbeat; empty when there is none."""
        return str(self.heartbeat.attributes[self.key[0]]) if self.heartbeat else ""

    @property
    def read_alias(self) -> str:
        """Name of the alias of the live index, through which everybody searches."""
        return self.name

    @property
    def write_alias(self) -> str:
        """Name of the alias of the write set."""
        return f"{self.name}-writers"

    @property
    def served_alias(self) -> str:
        """Name of the alias of all indexes that were ever live."""
        return f"{self.name}-served"

    @property
    def aliases(self) -> tuple[str, str, str]:
        """Names of the three aliases: those of the live index, of the write set, and of what was ever live."""
        return self.read_alias, self.write_alias, self.served_alias

    @property
    def visible(self) -> dict[str, Any]:
        """Filter of the read alias and of comparisons: it leaves out tombstones and expired documents.

        DynamoDB removes an expired item within days. It never removes an item that expired more than five years ago
        (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html), so the filter leaves such an item
        in. A document has the field only when DynamoDB would honour the attribute (``dynamodb_item.content_of``).
        """
        hidden: list[dict[str, Any]] = [{"term": {"sync.deleted": True}}]
        if self.expires:
            hidden.append({"range": {self.expires: {"lte": "now", "gt": f"now-{TTL_DAYS}d"}}})
        return {"bool": {"must_not": hidden}}

    @cached_property
    def index_body(self) -> dict[str, Any]:
        """``settings`` and ``mappings`` of a new index, from the mapping file.

        :raises BadMapping: when the file is missing, or its content is not what it has to be
        """
        path = include_dir() / "mappings" / f"{self.name}.json"
        return mapping_file.read(path, expires=self.expires, tenant=self.tenant)

    @cached_property
    def fits(self) -> fitting.Fit:
        """What a document of the entity's index can hold, beside ``sync``."""
        mappings = self.index_body["mappings"]
        own = {name: field for name, field in mappings["properties"].items() if name != "sync"}
        return fitting.object_of({**mappings, "properties": own})

    @cached_property
    def smoke_queries(self) -> list[SmokeQuery]:
        """Searches that a new index has to answer before it is live (``searchsync.operations.smoke``).

        :raises BadMapping: when the file is missing, or is not a list of such queries
        """
        path = include_dir() / "mappings" / f"{self.name}.smoke.json"
        queries = mapping_file.read_json(path)
        if not isinstance(queries, list):
            raise BadMapping(f"{path} must be a list of queries")
        try:
            return [SmokeQuery(**query) for query in queries]
        except TypeError as error:
            wanted = "name, sample and query, and may have extremes"
            raise BadMapping(f"{path}: each query has {wanted}: {error}") from error

    @cached_property
    def sql(self) -> str:
        """The SELECT that makes a document of each row, from the SQL file.

        :raises BadSource: when the file is missing
        """
        return _text(include_dir() / "sql" / self.sql_file).strip().rstrip(";")

    @cached_property
    def transform_code(self) -> str:
        """The text of the transformation's Python file; empty when there is none.

        :raises BadSource: when the file is missing
        """
        return _text(self.transform.path) if self.transform and self.transform.python else ""


def _load() -> tuple[dict[str, Entity], dict[str, BadEntity]]:
    """Return the entities of the files in ``include/entities``, and why the others of them cannot be used."""
    folder = include_dir() / "entities"
    found: dict[str, Entity] = {}
    bad: dict[str, BadEntity] = {}
    packed = (path for path in folder.glob("*.json") if not path.name.endswith(".schema.json"))
    for path in sorted([*folder.glob("*.yaml"), *packed]):
        try:
            found[path.stem] = _entity(path, found)
        except BadEntity as error:
            bad[path.stem] = error
    return found, bad


def _entity(path: Path, others: Mapping[str, Entity]) -> Entity:
    if reason := why_no_name(path.stem):
        raise BadEntity(f"{path}: the file's name is the entity's: {reason}")
    described = _read(path)
    if "sql" in described:
        described["sql_file"] = described.pop("sql")
    if "transform" in described:
        described["transform"] = Transformation(**described["transform"])
    if "select" in described:
        described["select"] = Selection(**described["select"])
    if "heartbeat" in described:
        described["heartbeat"] = Heartbeat(described["heartbeat"])
    if "search" in described:
        described["search"] = Search.of(described["search"])
    described |= {name: tuple(described[name]) for name in ("key", "key_types") if name in described}
    made = Entity(path.stem, **described)
    beside = (why_not_beside(made, one) for one in others.values())
    if reason := _why_no_key(made) or _why_no_heartbeat(made) or next(filter(None, beside), ""):
        raise BadEntity(f"{path}: {reason}")
    return made


def _why_no_key(entity: Entity) -> str:
    """Return what is wrong with the types of a key; empty when nothing is."""
    if len(entity.key_types) != len(entity.key):
        return f"key_types has {len(entity.key_types)} types for a key of {len(entity.key)} parts"
    types = dict(zip(entity.key, entity.key_types, strict=True))
    if entity.select and (kind := types.get(entity.select.attribute, "S")) != "S":
        return f"select.attribute {entity.select.attribute} has the type {kind} in key_types: only strings can select"
    return ""


def _why_no_heartbeat(entity: Entity) -> str:
    return entity.heartbeat.why_not(entity.key, entity.key_types, entity.select) if entity.heartbeat else ""


def why_not_beside(made: Entity, other: Entity) -> str:
    """Return why two entities cannot be made from what they are made from; empty when they can.

    Each of them would delete what the other one wrote, or count it as an orphan.
    """
    if made.source == "postgres" and (made.connection, made.sql_file) == (other.connection, other.sql_file):
        return f"{other.name} is made by the same SQL file {made.sql_file}"
    if not on_one_table(made, other):
        return ""
    if made.select is None or other.select is None:
        return (
            f"{other.name} is made from the same table {made.table}. Two entities share a table only when both select "
            "their items: write select into both files"
        )
    if made.select.overlaps(other.select):
        return f"{other.name} selects {other.select} of the same table {made.table}: {made.select} is not apart from it"
    if made.heartbeat and other.heartbeat and made.heartbeat_key == other.heartbeat_key:
        return f"{other.name} has the same heartbeat.{made.key[0]} in the same table {made.table}: name another one"
    return ""


def on_one_table(one: Entity, other: Entity) -> bool:
    """Return whether two entities are made from one table of DynamoDB."""
    return one.source == "dynamodb" and (one.connection, one.table) == (other.connection, other.table)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of an entity file. In a function's package it is JSON that was checked when it was packed."""
    if path.suffix == ".json":
        packed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return packed
    from searchsync import entity_file  # noqa: PLC0415 - a function's package has neither YAML nor a validator

    return entity_file.read(path)


_NAME = re.compile(r"(?!searchsync)[a-z][a-z0-9_]{0,49}")


def why_no_name(name: str) -> str:
    """Return what a name has to be to name an entity; empty when it can."""
    if _NAME.fullmatch(name):
        return ""
    return (
        "lower-case letters, digits and underscores, 50 at most, a letter first; it names indexes, DAGs and variables. "
        "What begins with searchsync is taken"
    )


CATALOG, BAD_ENTITIES = _load()
"""The entities by name; and for each file that cannot be used, by the name that the entity would have, the reason."""


NO_ENTITIES = f"{include_dir() / 'entities'} holds no entity file; is SEARCHSYNC_INCLUDE the right folder?"
"""What is wrong when there is neither an entity nor a wrong file of one."""


def entity(name: str) -> Entity:
    """Return the entity of this name.

    :raises BadEntity: when its file cannot be used
    :raises BadParams: when there is no such entity
    """
    if name in BAD_ENTITIES:
        raise BAD_ENTITIES[name]
    if not CATALOG and not BAD_ENTITIES:
        raise BadParams(NO_ENTITIES)
    try:
        return CATALOG[name]
    except KeyError:
        raise BadParams(f"unknown entity {name!r}; known: {', '.join(sorted(CATALOG))}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadSource(
            f"cannot read {path}: {reason}; write it (docs/entities.md), or restore it from version control"
        ) from error
