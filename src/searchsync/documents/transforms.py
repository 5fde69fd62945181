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
    :ivar own: version of the transformation in the entity's file; 0 where there is none
    :ivar digest: of that transformation and its Python file; empty where there is none
    """

    version: int
    sql: str = ""
    fields: str = ""
    own: int = 0
    digest: str = ""

    def as_meta(self) -> dict[str, Any]:
        """Return this in the form of ``_meta`` of an index."""
        return {"transform": self.version} | {
            name: value for name in ("sql", "fields", "own", "digest") if (value := getattr(self, name))
        }


def present(entity: Entity) -> Transform:
    """Return how documents are made now.

    The version for items is ``dynamodb_item.TRANSFORM``, beside that of the entity's own transformation; their
    documents show what is mapped, and the index has what is selected. The version for rows is in the line
    ``-- transform: N`` of the SQL file.

    :raises BadSource: when the file is missing or does not declare exactly one version
    """
    if entity.source != "postgres":
        fields = _digest(entity.index_body["mappings"]["properties"])
        if entity.select is not None:
            fields = _digest([fields, vars(entity.select)])
        if entity.transform is None:
            return Transform(dynamodb_item.TRANSFORM, fields=fields)
        described = {**vars(entity.transform), "version": 0, "code": entity.transform_code}
        return Transform(dynamodb_item.TRANSFORM, "", fields, entity.transform.version, _digest(described))
    declared = _DECLARED.findall(entity.sql)
    if len(declared) != 1:
        raise BadSource(
            f"{entity.sql_path} declares {len(declared) or 'no'} version{'s' * (len(declared) > 1)}: it "
            "needs one line '-- transform: 1', with a number that is raised when the documents change"
        )
    return Transform(int(declared[0]), entity.sql)


def _digest(described: Any) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def of_index(meta: Mapping[str, Any]) -> Transform | None:
    """Return how the documents of an index were made. Return None when the index does not say it.

    Such an index has hashes of another kind.

    :param meta: ``_meta`` of the index
    """
    version, own = meta.get("transform"), meta.get("own", 0)
    if not isinstance(version, int) or not isinstance(own, int):
        return None
    return Transform(version, str(meta.get("sql", "")), str(meta.get("fields", "")), own, str(meta.get("digest", "")))


def check_raised(entity: Entity, index: str, meta: Mapping[str, Any]) -> None:
    """Refuse an SQL file or a transformation that was changed but still declares the version an index was made with.

    :raises BadSource: when it was; the message names the version that the file needs
    """
    now, made = present(entity), of_index(meta)
    if made is None:
        return
    if made.sql != now.sql and made.version == now.version:
        what, version, line = entity.sql_path, now.version, f"-- transform: {now.version + 1}' into the file"
    elif made.digest != now.digest and made.own == now.own:
        what, version = _transformation(entity), now.own
        line = f"version: {now.own + 1}' below transform in include/entities/{entity.name}.yaml"
    else:
        return
    raise BadSource(
        f"{what} is not the one that {index} was made with, and both declare version {version}. Nothing was written. "
        f"Write '{line}, so that it is known which documents are of which; or take the change back"
    )


def _transformation(entity: Entity) -> str:
    file = f"the transformation of include/entities/{entity.name}.yaml"
    python = entity.transform.python if entity.transform else ""
    return f"{file} or its include/transforms/{python}" if python else file
