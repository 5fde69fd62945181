"""Turns that the stand-in for Bedrock plays, and how they go over the wire."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from local import bedrock_shapes as shapes

_PIECE = 20  # characters of a delta


@dataclass(frozen=True)
class Say:
    """A turn.

    :ivar blocks: each is ``{"text": ...}``, ``{"tool": name, "input": object}``, or with ``raw`` instead of ``input``
        the text that stands for it, which need not be JSON
    :ivar stop: why it ends; by what is in it, unless told
    :ivar tokens: that it takes: read and written
    :ivar cut_after: number of events after which the connection breaks
    :ivar error: name of the error within the stream that ends it
    :ivar silent_seconds: before it begins
    """

    blocks: tuple[Mapping[str, Any], ...] = ()
    stop: str = ""
    tokens: tuple[int, int] = (200, 50)
    cut_after: int | None = None
    error: str = ""
    silent_seconds: float = 0.0


@dataclass(frozen=True)
class Fail:
    """An error in place of a turn, by its name."""

    error: str


Player = Callable[[Mapping[str, Any]], Say | Fail]
"""Gives the next turn of a conversation. It gets the request, as ConverseStream takes it."""

Guard = Callable[[str, Sequence[str]], bool]
"""Says whether texts pass, when it is told whether they are INPUT or OUTPUT."""


def lets_all_pass(_: str, __: Sequence[str]) -> bool:
    """A guardrail that has nothing to say."""
    return True


def _stop(turn: Say) -> str:
    return turn.stop or ("tool_use" if any("tool" in block for block in turn.blocks) else "end_turn")


def _usage(turn: Say) -> dict[str, int]:
    read, written = turn.tokens
    return {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}


def _events(turn: Say) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    for at, block in enumerate(turn.blocks):
        if "tool" in block:
            start = {"toolUse": {"toolUseId": _id(), "name": block["tool"]}}
            yield "contentBlockStart", {"contentBlockIndex": at, "start": start}
        text = block["text"] if "text" in block else block.get("raw", json.dumps(block.get("input")))
        for begin in range(0, len(text), _PIECE):
            piece = text[begin : begin + _PIECE]
            delta = {"toolUse": {"input": piece}} if "tool" in block else {"text": piece}
            yield "contentBlockDelta", {"contentBlockIndex": at, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": at}
    yield "messageStop", {"stopReason": _stop(turn)}
    yield "metadata", {"usage": _usage(turn), "metrics": {"latencyMs": 1}}


def _id() -> str:
    return f"tooluse_{uuid4().hex}"


def frames(turn: Say) -> Iterator[bytes]:
    """The answer of ConverseStream, frame by frame. Raise ConnectionAbortedError where it is to break."""
    stream = shapes.operation("bedrock-runtime", "ConverseStream").output_shape.members["stream"]
    for number, (name, payload) in enumerate(_events(turn)):
        if turn.cut_after is not None and number >= turn.cut_after:
            raise ConnectionAbortedError
        if turn.error and number == 2:
            yield shapes.exception(turn.error, "The stream ends here.")
            return
        yield shapes.event(stream, name, payload)


def whole(turn: Say) -> dict[str, Any]:
    """The answer of Converse."""
    content = [
        {"text": block["text"]}
        if "text" in block
        else {"toolUse": {"toolUseId": _id(), "name": block["tool"], "input": block["input"]}}
        for block in turn.blocks
    ]
    message = {"role": "assistant", "content": content}
    rest = {"stopReason": _stop(turn), "usage": _usage(turn), "metrics": {"latencyMs": 1}}
    return {"output": {"message": message}, **rest}
