"""The catalog: what is indexed, from where, and in which files its mapping and SQL live."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from searchsync.errors import BadMapping, BadParams, BadSource
from searchsync.mapping import field_types, fitting

BUCKETS = 1024
"""Number of buckets that a comparison sums over.

A hash half is below 2^32, so the sums stay exact doubles up to 2 M documents per bucket.
"""

TTL_DAYS = 1826
"""Five years: DynamoDB never removes an item that expired before that."""

SYNC_FIELDS = {"position", "deleted", "written_at", "bucket", "hash_high", "hash_low"}
"""Fields of ``sync``, which every document carries beside its own fields (protocol.md, Document)."""


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


@dataclass(frozen=True)
class Entity:
    """One kind of document.

    :param name: name of the entity; also the name of the read alias and the stem of the entity's files
    :param source: the kind of database it comes from
    :param key: for PostgreSQL: the columns of the SQL file that order its rows. Together they are unique and not NULL,
        and ranges are cut along them. For DynamoDB: the key attribute, a string, of the table with the entity's name
    :param expires: the field that holds the epoch second after which a document is not shown any more (DynamoDB's TTL)
    :param changed: the column of the SQL file that says when a row was last changed; the table has an index on it
    :param unmapped: what happens to an item of DynamoDB when the mapping has no place for an attribute or for a value's
        shape: ``drop`` leaves the value out and counts it, ``refuse`` takes the item for poison
    """

    name: str
    source: Literal["postgres", "dynamodb"]
    key: tuple[str, ...]
    expires: str | None = None
    changed: str | None = None
    unmapped: Literal["drop", "refuse"] = "drop"

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
        body = _json(path)
        if not isinstance(body, dict) or not {"settings", "mappings"} <= body.keys():
            raise BadMapping(f"{path} must be an object with 'settings' and 'mappings'")
        if not isinstance(body["settings"], dict) or not isinstance(body["mappings"], dict):
            raise BadMapping(f"{path}: 'settings' and 'mappings' must be objects")
        if body["mappings"].get("dynamic") != "strict":
            raise BadMapping(f'{path}: mappings need "dynamic": "strict", else one bad document changes the index')
        properties = body["mappings"].get("properties", {})
        _check_names(path, properties)
        sync = properties.get("sync", {}).get("properties", {})
        if missing := sorted(SYNC_FIELDS - sync.keys()):
            raise BadMapping(f"{path}: the mapping of 'sync' lacks {', '.join(missing)}, which every document carries")
        ignoring = _ignores_malformed(body["settings"])
        if silent := field_types.untold(body["mappings"]["properties"], ignoring=ignoring):
            raise BadMapping(
                f'{path}: {", ".join(silent)} need "ignore_malformed": false: of a scaled_float, OpenSearch drops what '
                "is no number without listing it in _ignored, so nobody would know"
            )
        if foreign := sorted(sync.keys() - SYNC_FIELDS):
            raise BadMapping(f"{path}: 'sync' is the document's own state; move {', '.join(foreign)} out of it")
        if self.expires:
            ends = properties.get(self.expires, {})
            if (ends.get("type"), ends.get("format")) != ("date", "epoch_second"):
                raise BadMapping(f'{path}: {self.expires!r} ends documents: it must be a date of format "epoch_second"')
        return body

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
        queries = _json(path)
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
        path = include_dir() / "sql" / f"{self.name}.sql"
        try:
            return path.read_text(encoding="utf-8").strip().rstrip(";")
        except OSError as error:
            raise BadSource(f"cannot read {path}: {error.strerror}; restore it from version control") from error


CATALOG = {
    entity.name: entity
    for entity in (
        Entity(name="locations", source="postgres", key=("location_id",), changed="updated_at"),
        Entity(name="members", source="dynamodb", key=("member_id",), expires="expires_at"),
    )
}


def entity(name: str) -> Entity:
    """Return the entity of this name.

    :raises BadParams: when there is no such entity
    """
    try:
        return CATALOG[name]
    except KeyError:
        raise BadParams(f"unknown entity {name!r}; known: {', '.join(sorted(CATALOG))}") from None


def _ignores_malformed(settings: dict[str, Any]) -> bool:
    index = {**settings, **settings.get("index", {})}
    nested = index.get("mapping", {}).get("ignore_malformed")
    found = [nested, index.get("mapping.ignore_malformed"), index.get("index.mapping.ignore_malformed")]
    return any(value in (True, "true") for value in found)


def reserved(name: str) -> bool:
    """Whether OpenSearch would merge a field of this name into ``sync``, the document's own state."""
    return name.split(".", maxsplit=1)[0] == "sync"


def _check_names(path: Path, properties: dict[str, Any], above: str = "") -> None:
    """Refuse a name that would give one field two names, or a field that lets one bad document change the index."""
    for name, field in properties.items():
        if "." in name or not name.strip():
            raise BadMapping(
                f"{path}: {above + name!r} is no name of one field: dots make a path of it; write an object with "
                "properties instead"
            )
        if str(field.get("dynamic", "strict")).lower() not in ("strict", "false"):
            raise BadMapping(
                f'{path}: {above + name!r} needs "dynamic": "strict" or false, else one bad document changes the index'
            )
        _check_names(path, field.get("properties", {}), f"{above}{name}.")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadMapping(f"cannot read {path}: {error.strerror}; restore it from version control") from error
    except ValueError as error:
        raise BadMapping(f"{path} is not JSON: {error}") from error
