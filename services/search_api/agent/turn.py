"""One turn of the model, put together from the events of ConverseStream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from search_api.agent.budget import Exceeded

DEEPEST: Final = 6
"""Levels of an input: an answer has four."""


class Interrupted(Exception):
    """The stream ended before the turn did."""


@dataclass(frozen=True)
class Call:
    """A tool that the model wants to use.

    :ivar id: by which the result is matched
    :ivar input: what it asks; None when that is no JSON object
    """

    id: str
    name: str
    input: dict[str, Any] | None


@dataclass(frozen=True)
class Turn:
    """What the model said in one turn. The text beside tools is kept out: it is shown to nobody.

    :ivar stop: why it ended, in Bedrock's words
    """

    calls: tuple[Call, ...]
    stop: str
    input_tokens: int
    output_tokens: int


@dataclass
class _Block:
    id: str
    name: str
    parts: list[str] = field(default_factory=list)


class Reading:
    """A turn that is being read.

    :param most: bytes that the model may write
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._blocks: dict[int, _Block] = {}
        self._stop = ""
        self._tokens: tuple[int, int] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one event.

        :raises Exceeded: when the model has written more than it may
        """
        match event:
            case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": tool}}}:
                self._blocks[index] = _Block(tool["toolUseId"], tool["name"])
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": text}}}}:
                self._count(text)
                self._blocks[index].parts.append(text)
            case {"contentBlockDelta": {"delta": {"text": text}}}:
                self._count(text)
            case {"messageStop": {"stopReason": reason}}:
                self._stop = reason
            case {"metadata": {"usage": usage}}:
                self._tokens = (usage["inputTokens"], usage["outputTokens"])

    def turn(self) -> Turn:
        """Return the turn.

        :raises Interrupted: when it has no end, or does not say what it took
        """
        if not self._stop or self._tokens is None:
            raise Interrupted
        calls = tuple(Call(one.id, one.name, _object("".join(one.parts))) for _, one in sorted(self._blocks.items()))
        return Turn(calls, self._stop, *self._tokens)

    def _count(self, text: str) -> None:
        self._left -= len(text.encode("utf-8", "replace"))
        if self._left < 0:
            raise Exceeded("answer_bytes")


def _object(text: str) -> dict[str, Any] | None:
    """Return a JSON object; None when it is none, or a nest of lists. A tool without input gets no text at all."""
    try:
        found = msgspec.json.decode((text or "{}").encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return found if isinstance(found, dict) and _is_flat(found, DEEPEST) else None


def _is_flat(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (levels > 0 and all(_is_flat(one, levels - 1) for one in inner))
