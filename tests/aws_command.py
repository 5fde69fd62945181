"""``aws SERVICE OPERATION --parameter VALUE``, as far as runbooks use it: the AWS CLI is no package of this project.

botocore checks the names and types of operation and parameters, and ``AWS_ENDPOINT_URL`` says whom it asks.
"""

import json
import os
import re
import shlex
from collections.abc import Sequence
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from botocore.model import Shape

_OUTPUT = {"query": "", "output": "json"}
_KEPT = re.compile(r"(\w+)=\$\((.*)\)")


def run(block: str) -> None:
    """Run the lines of a block. A line may keep what a call prints in a variable: ``NAME=$(aws ...)``."""
    for line in block.splitlines():
        kept = _KEPT.fullmatch(line)
        program, *words = shlex.split(os.path.expandvars(kept[2] if kept else line))
        assert program == "aws", line
        printed = call(words)
        if kept:
            os.environ[kept[1]] = printed


def call(words: Sequence[str]) -> str:
    """Make one call. Return what would be printed."""
    service, operation, *rest = words
    client = boto3.client(service)
    method = operation.replace("-", "_")
    (name,) = [one for one in client.meta.service_model.operation_names if xform_name(one) == method]
    shape = client.meta.service_model.operation_model(name).input_shape
    members = {xform_name(one).replace("_", "-"): one for one in shape.members} if shape else {}
    given, output = {}, dict(_OUTPUT)
    for option, values in _options(rest):
        if option in output:
            (output[option],) = values
        elif option not in members and option.removeprefix("no-") in members:
            given[members[option.removeprefix("no-")]] = False
        else:  # an option that is not there fails here
            given[members[option]] = _value(shape.members[members[option]], values)
    answer = getattr(client, method)(**given)
    answer.pop("ResponseMetadata", None)
    found = jmespath.search(output["query"], answer) if output["query"] else answer
    return str(found) if output["output"] == "text" else json.dumps(found, indent=2, default=str)


def _options(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if re.match(r"--[a-z]", word):
            found.append((word[2:], []))
        else:
            found[-1][1].append(word)
    return found


def _value(shape: Shape, values: Sequence[str]) -> Any:
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "list":
        return [_value(shape.member, [value]) for value in values]
    (value,) = values
    if shape.type_name in ("integer", "long"):
        return int(value)
    return json.loads(value) if shape.type_name in ("structure", "map") else value
