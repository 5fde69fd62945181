"""Read one mapping file, and refuse what would let documents change the index or be lost in silence."""

import json
from pathlib import Path
from typing import Any

from searchsync.errors import BadMapping
from searchsync.mapping import field_types

SYNC_FIELDS = {"position", "deleted", "written_at", "bucket", "hash_high", "hash_low"}
"""Fields of ``sync``, which every document carries beside its own fields (protocol.md, Document)."""


def read(path: Path, *, expires: str | None, tenant: str | None) -> dict[str, Any]:
    """Return ``settings`` and ``mappings`` of a new index.

    :param expires: the field that ends documents
    :param tenant: the field that holds the tenant of a document
    :raises BadMapping: when the file is missing, or its content is not what it has to be
    """
    body = read_json(path)
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
    if expires:
        ends = properties.get(expires, {})
        if (ends.get("type"), ends.get("format")) != ("date", "epoch_second"):
            raise BadMapping(f'{path}: {expires!r} ends documents: it must be a date of format "epoch_second"')
    if tenant and (reason := field_types.why_no_tenant(properties, tenant)):
        raise BadMapping(f"{path}: {tenant!r} holds the tenant of a document: {reason}")
    return body


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
    for name, mapped in properties.items():
        if "." in name or not name.strip():
            raise BadMapping(
                f"{path}: {above + name!r} is no name of one field: dots make a path of it; write an object with "
                "properties instead"
            )
        if str(mapped.get("dynamic", "strict")).lower() not in ("strict", "false"):
            raise BadMapping(
                f'{path}: {above + name!r} needs "dynamic": "strict" or false, else one bad document changes the index'
            )
        _check_names(path, mapped.get("properties", {}), f"{above}{name}.")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    :raises BadMapping: when it cannot be read, or is none
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadMapping(
            f"cannot read {path}: {error.strerror}; write it (docs/entities.md), or restore it from version control"
        ) from error
    except ValueError as error:
        raise BadMapping(f"{path} is not JSON: {error}") from error
