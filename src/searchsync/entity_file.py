"""Read one file of ``include/entities``, and say of a wrong one which line is wrong and what may stand there."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from yaml.nodes import MappingNode, SequenceNode

from searchsync.errors import BadEntity
from searchsync.mapping import searching

SCHEMA = "entity.schema.json"
"""Name of the JSON schema beside the entity files; editors use it, too."""


def read(path: Path) -> dict[str, Any]:
    """Return the content of an entity file.

    :raises BadEntity: when it is not what the schema says; the message names file, line and allowed values
    """
    text = _text(path)
    try:
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
        content = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise BadEntity(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if node is None or not isinstance(content, dict):
        raise BadEntity(f"{path}: it must hold a mapping; include/entities/{SCHEMA} says of what")
    problems = [*_repeated(node), *_against_schema(path, node, content)] or [
        *_against_itself(node, content),
        *_against_mapping(path, node, content),
    ]
    if problems:
        raise BadEntity("; ".join(f"{path}:{line}: {problem}" for line, problem in sorted(set(problems))))
    return content


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadEntity(f"cannot read {path}: {error}") from None


def _repeated(node: Any) -> Iterator[tuple[int, str]]:
    """Yield line and problem of each key that stands twice in a mapping: YAML would take the last."""
    if not isinstance(node, MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            yield key.start_mark.line + 1, f"{key.value} stands here a second time"
        seen.add(key.value)
        yield from _repeated(value)


def _against_schema(path: Path, node: Any, content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for error in _validator(path.with_name(SCHEMA)).iter_errors(content):
        where = [*error.absolute_path]
        if error.validator == "additionalProperties":
            where += sorted(str(name) for name in set(error.instance) - set(error.schema["properties"]))[:1]
        yield _line(node, where), _explained(error, where, content)


def _against_itself(node: Any, content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield line and problem of what the schema cannot tell.

    A transformation must not write one field twice, or the time to live. What has a tenant is not everybody's.
    """
    if "tenant" in content and content.get("search", {}).get("shared"):
        yield _line(node, ["search", "shared"]), "search.shared: tenant says whose a document is: leave one of them out"
    transform = content.get("transform", {})
    names = [(part, name) for part in ("take", "rename", "constant") for name in transform.get(part, {})]
    written = [(part, name, transform["rename"][name] if part == "rename" else name) for part, name in names]
    written += [("drop", at, name) for at, name in enumerate(transform.get("drop", []))]
    before: dict[str, str] = {}
    for part, place, name in written:
        line, where = _line(node, ["transform", part, place]), f"transform.{part}"
        if not isinstance(place if part == "rename" else name, str):
            yield line, f"{where}: the name {place} must be a text: write it in quotes"
        elif content.get("expires") in (name, place):
            yield line, f"{where}: {content['expires']} is the time to live, and stays as it is stored"
        elif name in before:
            yield line, f"{where}: {before[name]} has {name} already: of two, one would be lost"
        before.setdefault(name, where)


def _against_mapping(path: Path, node: Any, content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield line and problem of each field that people cannot search by as the file says.

    A mapping file that is missing or wrong is said when the mapping is read (``catalog.Entity.index_body``).
    """
    try:
        body = json.loads((path.parents[1] / "mappings" / f"{path.stem}.json").read_text(encoding="utf-8"))
        properties = body["mappings"]["properties"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    search = content.get("search")
    for place, problem in searching.problems(search, content["key"], properties) if search else ():
        where = ".".join(part for part in ["search", *place] if isinstance(part, str))
        yield _line(node, ["search", *place]), f"{where}: {problem}"


@cache
def _validator(schema: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(_text(schema)))


def _line(node: Any, path: list[Any]) -> int:
    """Return the line of the deepest part of a path that the file has."""
    line = int(node.start_mark.line) + 1
    for part in path:
        if isinstance(node, SequenceNode):
            node = node.value[part]
            line = int(node.start_mark.line) + 1
            continue
        pair = next((pair for pair in node.value if pair[0].value == part), None)
        if pair is None:
            break
        line, node = int(pair[0].start_mark.line) + 1, pair[1]
    return line


def _required(schema: Any) -> list[str]:
    """Return the keys that an object must have, and those of which it must have one."""
    others = [name for name in schema["properties"] if name not in schema["required"]]
    return [", ".join(schema["required"]), " or ".join(others)]


_TYPES = {
    "array": "a list",
    "object": "a mapping",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _explained(error: Any, path: list[Any], content: dict[str, Any]) -> str:
    """Return a problem in the words of the file, with the allowed values."""
    inside = ".".join(str(part) for part in error.absolute_path)
    where = ".".join(map(str, path))
    found, wanted, schema = repr(error.instance)[:100], error.validator_value, error.schema
    explained: dict[str, Callable[[], str]] = {
        "enum": lambda: f"{where} must be {' or '.join(map(str, wanted))}, not {found}",
        "required": lambda: f"{inside or 'the file'} lacks {', '.join(sorted(set(wanted) - set(error.instance)))}",
        "additionalProperties": lambda: (
            f"{path[-1]} is no key{f' of {inside}' if inside else ''}; the keys are {', '.join(schema['properties'])}"
        ),
        "pattern": lambda: f"{where} must be {schema.get('description', wanted)}, not {found}",
        "type": lambda: f"{where} must be {_kinds(wanted)}, not {found}",
        "maxItems": lambda: f"{where} has {len(error.instance)} parts, and {wanted} is the most for this source",
        "minProperties": lambda: f"{where} needs {' and one of '.join(_required(schema))}",
        "maxProperties": lambda: f"{where} needs {' and one of '.join(_required(schema))}, not both",
        "const": lambda: f"{where} must be {json.dumps(wanted)}, not {found}",
        "minItems": lambda: f"{where} must not be empty",
        "uniqueItems": lambda: f"{where} names something twice: {found}",
        "minLength": lambda: f"{where} must not be empty",
        "minimum": lambda: f"{where} must be {wanted} or more, not {found}",
        "not": lambda: f"{where} has no meaning for the source {content.get('source')}: leave it out",
    }
    return explained.get(error.validator, lambda: f"{where}: {error.message}")()


def _kinds(wanted: str | list[str]) -> str:
    return " or ".join(_TYPES[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted))
