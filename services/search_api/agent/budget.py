"""What one question may cost. Whichever budget is used up first ends it, with what is known by then."""

from dataclasses import dataclass
from typing import Literal

from search_api.deadline import Deadline

Name = Literal["turns", "tokens", "tool_calls", "seconds", "answer_bytes", "context"]


@dataclass(frozen=True)
class Budgets:
    """The budgets of one question.

    :ivar turns: answers of the model; the last of them may not ask for more
    :ivar tokens: of all turns together, those that the model reads and those that it writes; it is looked at between
        turns, so the last turn may go beyond it by what one turn takes
    :ivar tool_calls: searches and documents that the model may ask for
    :ivar seconds: from the question to the end of the answer
    :ivar answer_bytes: of what the model writes in one turn
    """

    turns: int = 6
    tokens: int = 60_000
    tool_calls: int = 10
    seconds: float = 25.0
    answer_bytes: int = 16_384


class Exceeded(Exception):
    """A budget is used up.

    :ivar budget: which one
    """

    def __init__(self, budget: Name) -> None:
        super().__init__(budget)
        self.budget: Name = budget


class Spent:
    """What a question has cost so far.

    :ivar deadline: the moment at which its seconds are over
    """

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self.deadline = Deadline(budgets.seconds)
        self.turns = 0
        self.tool_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0

    def begin_turn(self) -> bool:
        """Count a turn, and return whether it is the last one.

        :raises Exceeded: when there may be none
        """
        if self.deadline.remaining <= 0:
            raise Exceeded("seconds")
        if self.input_tokens + self.output_tokens >= self.budgets.tokens:
            raise Exceeded("tokens")
        if self.turns >= self.budgets.turns:
            raise Exceeded("turns")
        self.turns += 1
        return self.turns == self.budgets.turns

    def count(self, input_tokens: int, output_tokens: int) -> None:
        """Count the tokens of a turn."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def take_tool_call(self) -> bool:
        """Count a call of a tool, and return True. Return False when there may be none."""
        if self.tool_calls >= self.budgets.tool_calls:
            return False
        self.tool_calls += 1
        return True
