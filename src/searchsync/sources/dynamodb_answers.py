"""Answers of DynamoDB with their items as they came: in typed JSON, each decoded when it is looked at.

botocore walks through every value of an answer by its model. For items this changes nothing but binary values, and
takes longer than all else that a reindex does with them. Only this step is replaced: request, signature, retries,
checksum of the answer and errors stay botocore's (docs/decisions/004-items-as-they-came.md).
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.parsers import JSONParser, ResponseParserError, ResponseParserFactory

from searchsync.errors import SourceUnavailable

_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_split_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode


def as_they_came(client: Any) -> Any:
    """Return a client like this one, whose ``scan`` and ``batch_get_item`` return items in typed JSON.

    Binary values are base64 text in it, as in a stream. Everything else is shared with the given client: credentials,
    configuration, connections and handlers of events. What is no client of botocore, or of a botocore that is made in
    another way, is returned as it is: its items are right, and take longer.
    """
    endpoint = getattr(client, "_endpoint", None) if isinstance(client, BaseClient) else None
    if not isinstance(endpoint, Endpoint) or not hasattr(endpoint, "_response_parser_factory"):
        return client
    own = copy.copy(endpoint)
    own._response_parser_factory = _Parsers()
    other = object.__new__(type(client))
    other.__dict__.update(client.__dict__, _endpoint=own)
    return other


@contextmanager
def documented(table: str) -> Iterator[None]:
    """Ask DynamoDB in this block, and look for the parts that its answers always have.

    :raises SourceUnavailable: when a part is missing or has another shape: somebody else answered
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ResponseParserError) as error:
        raise SourceUnavailable(
            f"table {table}: an answer is none of DynamoDB's ({type(error).__name__}: {error}), so nothing was taken "
            "from it. Is there a proxy or a login page between? Run it again when DynamoDB itself answers"
        ) from error


def units_of(answer: Any) -> float:
    """Return the read capacity units that an answer says it has taken."""
    consumed = answer["ConsumedCapacity"]
    return float(sum(one["CapacityUnits"] for one in (consumed if isinstance(consumed, list) else [consumed])))


def check_items(answer: Any) -> None:
    """Look for the items of a scan, or of keys that were read."""
    pages = answer["Responses"].values() if "Responses" in answer else [answer["Items"]]
    for items in pages:
        if not isinstance(items, Items) and not all(isinstance(item, dict) for item in items):
            raise TypeError("what stands for an item is none")


class Items:
    """The items of a page of a scan, in typed JSON. Each is decoded when its turn comes, so few are in memory."""

    def __init__(self, items: list[msgspec.Raw]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            try:
                yield _decode(item)
            except (msgspec.DecodeError, UnicodeDecodeError):  # a lone surrogate: the item is to be named as poison
                yield json.loads(bytes(item))


class _Parser(JSONParser):  # type: ignore[misc]  # botocore has no types
    """Parses an answer as botocore does, but leaves its items alone."""

    def _parse_body_as_json(self, body_contents: bytes) -> Any:
        try:
            return {
                name: Items(_split_list(value)) if name == "Items" else _decode(value)
                for name, value in _split(body_contents).items()
            }
        except (msgspec.MsgspecError, UnicodeDecodeError):  # empty, or no JSON: botocore knows what that means
            return super()._parse_body_as_json(body_contents)

    def _handle_list(self, shape: Any, node: Any) -> Any:
        return node if isinstance(node, Items) else super()._handle_list(shape, node)

    def _handle_map(self, shape: Any, value: Any) -> Any:
        return value if shape.name == "AttributeMap" else super()._handle_map(shape, value)


class _Parsers(ResponseParserFactory):  # type: ignore[misc]
    """Makes this parser for the protocol of DynamoDB."""

    def create_parser(self, protocol_name: str) -> Any:
        return _Parser() if protocol_name == "json" else super().create_parser(protocol_name)
