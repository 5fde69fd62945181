"""Check whether an index, as the server has it, is what its mapping file says."""

from typing import Any

from searchsync.cluster import shards
from searchsync.cluster.index import state_of
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import BadMapping, IndexUnavailable


def check(indexes: EntityIndexes, name: str) -> None:
    """Compare mapping and settings, as the server has them, with the mapping file.

    :raises BadMapping: when they differ; the message names the paths
    """
    if found := differences(indexes, name):
        raise BadMapping(
            f"{name} is not what include/mappings/{indexes.entity.name}.json says: {'; '.join(found[:10])}"
        )


def differences(indexes: EntityIndexes, name: str) -> list[str]:
    """Return the paths of mapping and settings that are not as the file has them, with their values."""
    entity = indexes.entity
    state = state_of(indexes.client, name, flat=True).get(name)
    if state is None:
        raise IndexUnavailable(f"{name} is gone: it was deleted meanwhile. See `searchsync indexes {entity.name}`")
    wanted = entity.index_body
    found = _differences(wanted["mappings"], state["mappings"], "mappings")
    extra = _paths(state["mappings"].get("properties", {})) - _paths(wanted["mappings"].get("properties", {}))
    found += [f"mappings: field {path!r} is not in the file" for path in sorted(extra)]
    settings = {key.removeprefix("index."): value for key, value in state["settings"].items()}
    asked = wanted["settings"] | {"number_of_shards": shards.wanted(entity, state["mappings"].get("_meta", {}))}
    for key, value in ((key.removeprefix("index."), value) for key, value in _flatten(asked).items()):
        if _text(settings.get(key)) != _text(value):
            found.append(f"settings.{key}: {settings.get(key)!r} instead of {value!r}")
    return found


def _differences(wanted: Any, found: Any, path: str) -> list[str]:
    if isinstance(wanted, dict):
        found = found if isinstance(found, dict) else {}
        return [d for key in wanted for d in _differences(wanted[key], found.get(key), f"{path}.{key}")]
    if isinstance(wanted, list):
        same = isinstance(found, list) and [_text(v) for v in wanted] == [_text(v) for v in found]
    else:
        same = _text(wanted) == _text(found)
    return [] if same else [f"{path}: {found!r} instead of {wanted!r}"]


def _paths(properties: dict[str, Any], prefix: str = "") -> set[str]:
    paths: set[str] = set()
    for name, field in properties.items():
        paths |= {prefix + name} | _paths(
            {**field.get("properties", {}), **field.get("fields", {})}, f"{prefix}{name}."
        )
    return paths


def _flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _text(value: Any) -> Any:
    """Return a value in one form, because the server may give numbers and booleans as text, and integers as floats."""
    if isinstance(value, list):
        return [_text(item) for item in value]
    if value is None or isinstance(value, dict):
        return value
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.removesuffix(".0")
