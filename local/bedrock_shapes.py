"""What Bedrock takes and gives, by botocore's own description of it: requests and answers are held to it, both ways."""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from zlib import crc32

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

STREAM = "application/vnd.amazon.eventstream"


@cache
def operation(service: str, name: str) -> OperationModel:
    """An operation of ``bedrock-runtime`` or ``bedrock``."""
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def faults(shape: Shape, value: Any) -> list[str]:
    """What is wrong with a value: unknown and missing members, types, lengths, enumerations and patterns."""
    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        return [str(report.generate_report())]
    return list(_wrong_texts(shape, value, "."))


def _wrong_texts(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """ParamValidator leaves enumerations and patterns to the service, and so to this."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, one in value.items():
            yield from _wrong_texts(shape.members[name], one, f"{path}{name}.")
    elif shape.type_name == "list":
        for at, one in enumerate(value):
            yield from _wrong_texts(shape.member, one, f"{path}[{at}].")
    elif shape.type_name == "string":
        allowed, pattern = shape.metadata.get("enum"), shape.metadata.get("pattern")
        if allowed and value not in allowed:
            yield f"{path} is {value!r}, which is none of {allowed}"
        if pattern and not re.fullmatch(pattern, value):
            yield f"{path} is {value!r}, which does not match {pattern}"


def require(shape: Shape, value: Any) -> Any:
    """A value that has the shape.

    :raises ValueError: when it has not
    """
    if wrong := faults(shape, value):
        raise ValueError(f"{shape.name}: {'; '.join(wrong)}")
    return value


def event(shape: Shape, name: str, payload: Mapping[str, Any]) -> bytes:
    """One event of a stream, as the frame that goes over the wire.

    :param shape: of the stream
    """
    require(shape, {name: payload})
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return _frame(headers, json.dumps(payload).encode())


def exception(name: str, message: str) -> bytes:
    """An error within a stream, as a frame."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return _frame(headers, json.dumps({"message": message}).encode())


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Lengths and their checksum, headers of type text (7), payload, and a checksum of all."""
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack("!II", 12 + len(head) + len(payload) + 4, len(head))
    body = lengths + struct.pack("!I", crc32(lengths)) + head + payload
    return body + struct.pack("!I", crc32(body))
