"""Which version of the SQL file or of the code made a document, and with which documents it can be compared."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from searchsync.catalog import Entity
from searchsync.documents import dynamodb_item
from searchsync.errors import BadSource

_DECLARED = re.compile(r"^--\s*transform:\s*(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Transform:
    """How rows or items become documents.

    :ivar version: whoever changes the documents must raise it
    :ivar sql: the SELECT that makes the documents; empty where our own code makes them
    :ivar fields: digest of the mapped fields, if they decide what a document shows; else empty
    """

    version: int
    sql: str = ""
    fields: str = ""

    def as_meta(self) -> dict[str, Any]:
        """Return this in the form of ``_meta`` of an index."""
        return {"transform": self.version} | {
            name: value for name in ("sql", "fields") if (value := getattr(self, name))
        }


def present(entity: Entity) -> Transform:
    """Return how documents are made now.

    The version for items is ``dynamodb_item.TRANSFORM``; their documents show what is mapped. The version for rows is
    in the line ``-- transform: N`` of the SQL file.

    :raises BadSource: when the file is missing or does not declare exactly one version
    """
    if entity.source != "postgres":
        shown = json.dumps(entity.index_body["mappings"]["properties"], sort_keys=True)
        return Transform(dynamodb_item.TRANSFORM, fields=hashlib.sha256(shown.encode()).hexdigest()[:16])
    declared = _DECLARED.findall(entity.sql)
    if len(declared) != 1:
        raise BadSource(
            f"{entity.sql_path} declares {len(declared) or 'no'} version{'s' * (len(declared) > 1)}: it "
            "needs one line '-- transform: 1', with a number that is raised when the documents change"
        )
    return Transform(int(declared[0]), entity.sql)


def of_index(meta: Mapping[str, Any]) -> Transform | None:
    """Return how the documents of an index were made. Return None when the index does not say it.

    Such an index has hashes of another kind.

    :param meta: ``_meta`` of the index
    """
    version = meta.get("transform")
    if not isinstance(version, int):
        return None
    return Transform(version, str(meta.get("sql", "")), str(meta.get("fields", "")))


def check_raised(entity: Entity, index: str, meta: Mapping[str, Any]) -> None:
    """Refuse an SQL file that was changed but still declares the version that an index was made with.

    :raises BadSource: when it was; the message names the version that the file needs
    """
    now, made = present(entity), of_index(meta)
    if made is not None and made.sql != now.sql and made.version == now.version:
        raise BadSource(
            f"{entity.sql_path} is not the one that {index} was made with, and both declare version "
            f"{now.version}. Nothing was written. Write '-- transform: {now.version + 1}' into the file, so that it is "
            "known which documents are of which; or take the change back"
        )
