"""A turn is read from events; one without its end is none, however orderly the connection was closed."""

from typing import Any

import pytest

from search_api.agent.budget import Exceeded
from search_api.agent.turn import Call, Interrupted, Reading

START = {
    "contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t-1", "name": "get_members"}}}
}
STOP = {"messageStop": {"stopReason": "tool_use"}}
USAGE = {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}}}


def delta(text: str) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": text}}}}


def read(*events: dict[str, Any], most: int = 100) -> Reading:
    reading = Reading(most)
    for event in events:
        reading.add(event)
    return reading


def test_the_parts_of_an_input_are_one_object() -> None:
    thought = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}}
    turn = read(
        {"messageStart": {"role": "assistant"}}, thought, START, delta('{"id": "m'), delta('-1"}'), STOP, USAGE
    ).turn()
    assert turn.calls == (Call("t-1", "get_members", {"id": "m-1"}),)
    assert (turn.stop, turn.input_tokens, turn.output_tokens) == ("tool_use", 3, 2)


def test_a_tool_without_input_gets_an_empty_one() -> None:
    assert read(START, STOP, USAGE).turn().calls[0].input == {}


def test_a_turn_without_its_end_is_none() -> None:
    """Half of an answer could say the opposite of the whole."""
    with pytest.raises(Interrupted):
        read(START, delta('{"id": "m-1"}')).turn()


def test_a_turn_that_does_not_say_what_it_took_is_none() -> None:
    """It would cost nothing, and the budget of tokens would have no end."""
    with pytest.raises(Interrupted):
        read(START, STOP).turn()


def test_what_is_too_long_is_not_read_on() -> None:
    with pytest.raises(Exceeded, match="answer_bytes"):
        read(START, delta("x" * 60), delta("x" * 60))


NESTED = '{"a":' * 300 + "1" + "}" * 300


@pytest.mark.parametrize("text", ["[" * 100_000, NESTED, '{"a": ', "1", "null", '"x"', "\ud800", '{"q": "\\ud800"}'])
def test_what_is_no_object_is_no_input(text: str) -> None:
    assert read(START, delta(text), STOP, USAGE, most=200_000).turn().calls[0].input is None
