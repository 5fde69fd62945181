"""Read a YAML file that a JSON schema describes; say of a wrong one which line is wrong and what may stand there."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from yaml.nodes import MappingNode, SequenceNode

from searchsync.errors import BadParams

_TYPES = {
    "array": "a list",
    "object": "a mapping",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


class CheckedYaml:
    """A file that is what its schema says.

    :param path: the file
    :param schema: name of the JSON schema beside it; editors use it, too
    :param refusal: the error that is raised
    :raises BadParams: the ``refusal``, when the file cannot be read, is no YAML, has a key twice, or is not what the
        schema says; the message names file, line and allowed values
    :ivar content: what the file holds
    """

    def __init__(self, path: Path, schema: str, refusal: type[BadParams] = BadParams) -> None:
        self._path = path
        self._refusal = refusal
        self._node = self._composed()
        repeated = [*_repeated(self._node)]  # of the file as it is written: afterwards, merged keys are in it, too
        self.content: dict[str, Any] = self._constructed(schema)
        validator = _validator(_text(path.with_name(schema), refusal))
        self.refuse([*repeated, *self._against(validator)])

    def line(self, place: Sequence[Any]) -> int:
        """Return the line of the deepest part of a place (names of keys, numbers in lists) that the file has."""
        node, line = self._node, int(self._node.start_mark.line) + 1
        for part in place:
            if isinstance(node, SequenceNode):
                node = node.value[part]
                line = int(node.start_mark.line) + 1
                continue
            pairs = [pair for pair in node.value if pair[0].value == part]
            if not pairs:
                break
            key, node = pairs[-1]  # what is merged into a mapping stands before what is written there
            line = int(key.start_mark.line) + 1
        return line

    def refuse(self, problems: Sequence[tuple[int, str]]) -> None:
        """Raise the ``refusal`` with each line and problem; do nothing when there are none."""
        if problems:
            raise self._refusal("; ".join(f"{self._path}:{line}: {text}" for line, text in sorted(set(problems))))

    def _composed(self) -> Any:
        try:
            return yaml.compose(_text(self._path, self._refusal), yaml.CSafeLoader)
        except yaml.YAMLError as error:
            raise self._no_yaml(error) from None

    def _constructed(self, schema: str) -> dict[str, Any]:
        try:
            content = yaml.CSafeLoader("").construct_document(self._node) if self._node is not None else None
        except yaml.YAMLError as error:
            raise self._no_yaml(error) from None
        if not isinstance(content, dict):
            raise self._refusal(f"{self._path}: it must hold a mapping; {self._path.with_name(schema)} says of what")
        return content

    def _no_yaml(self, error: yaml.YAMLError) -> BadParams:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        return self._refusal(f"{self._path}{line}: not YAML: {getattr(error, 'problem', error)}")

    def _against(self, validator: Draft202012Validator) -> Iterator[tuple[int, str]]:
        for error in validator.iter_errors(self.content):
            where = [*error.absolute_path]
            if error.validator == "additionalProperties":
                where += sorted(str(name) for name in set(error.instance) - set(error.schema["properties"]))[:1]
            yield self.line(where), _explained(error, where, self.content)


def _text(path: Path, refusal: type[BadParams]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refusal(f"cannot read {path}: {error}") from None


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


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def _required(schema: Any) -> list[str]:
    """Return the keys that an object must have, and those of which it must have one."""
    others = [name for name in schema["properties"] if name not in schema["required"]]
    return [", ".join(schema["required"]), " or ".join(others)]


def _depending(error: Any) -> list[str]:
    """Return the keys that an object must have because of others that it has."""
    wanted = error.validator_value.items()
    return sorted({key for name, keys in wanted if name in error.instance for key in keys} - {*error.instance})


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
        "oneOf": lambda: f"{where} must be {schema['description']}, not {found}",
        "anyOf": lambda: f"{where} lacks {' or '.join(key for one in wanted for key in one['required'])}",
        "dependentRequired": lambda: f"{where} lacks {', '.join(_depending(error))}",
        "not": lambda: f"{where} has no meaning {_beside(content)}: leave it out",
    }
    return explained.get(error.validator, lambda: f"{where}: {error.message}")()


def _beside(content: dict[str, Any]) -> str:
    return f"for the source {content['source']}" if "source" in content else "here"


def _kinds(wanted: str | list[str]) -> str:
    return " or ".join(_TYPES[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted))
