"""Read one file of ``include/entities``, and say of a wrong one which line is wrong and what may stand there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from searchsync.checked_yaml import CheckedYaml
from searchsync.errors import BadEntity
from searchsync.mapping import searching

SCHEMA = "entity.schema.json"
"""Name of the JSON schema beside the entity files; editors use it, too."""


def read(path: Path) -> dict[str, Any]:
    """Return the content of an entity file.

    :raises BadEntity: when it is not what the schema says; the message names file, line and allowed values
    """
    file = CheckedYaml(path, SCHEMA, BadEntity)
    file.refuse([*_against_itself(file), *_against_mapping(path, file)])
    return file.content


def _against_itself(file: CheckedYaml) -> Iterator[tuple[int, str]]:
    """Yield line and problem of what the schema cannot tell.

    A transformation must not write one field twice, or the time to live. What has a tenant is not everybody's.
    """
    content = file.content
    if "tenant" in content and content.get("search", {}).get("shared"):
        yield file.line(["search", "shared"]), "search.shared: tenant says whose a document is: leave one of them out"
    transform = content.get("transform", {})
    names = [(part, name) for part in ("take", "rename", "constant") for name in transform.get(part, {})]
    written = [(part, name, transform["rename"][name] if part == "rename" else name) for part, name in names]
    written += [("drop", at, name) for at, name in enumerate(transform.get("drop", []))]
    before: dict[str, str] = {}
    for part, place, name in written:
        line, where = file.line(["transform", part, place]), f"transform.{part}"
        if not isinstance(place if part == "rename" else name, str):
            yield line, f"{where}: the name {place} must be a text: write it in quotes"
        elif content.get("expires") in (name, place):
            yield line, f"{where}: {content['expires']} is the time to live, and stays as it is stored"
        elif name in before:
            yield line, f"{where}: {before[name]} has {name} already: of two, one would be lost"
        before.setdefault(name, where)


def _against_mapping(path: Path, file: CheckedYaml) -> Iterator[tuple[int, str]]:
    """Yield line and problem of each field that people cannot search by as the file says.

    A mapping file that is missing or wrong is said when the mapping is read (``catalog.Entity.index_body``).
    """
    try:
        body = json.loads((path.parents[1] / "mappings" / f"{path.stem}.json").read_text(encoding="utf-8"))
        properties = body["mappings"]["properties"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    search = file.content.get("search")
    for place, problem in searching.problems(search, file.content["key"], properties) if search else ():
        where = ".".join(part for part in ["search", *place] if isinstance(part, str))
        yield file.line(["search", *place]), f"{where}: {problem}"
