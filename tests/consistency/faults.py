"""What happens to the requests of an actor, and to the process that makes them, by chance."""

import random
from collections.abc import Callable
from typing import Any

from tests.consistency.wire import Act, Crashed, Forward, Request, lost, refused

KINDS = ("killed before", "killed after", "conflict", "lost answer", "overloaded")


def chance(choose: random.Random, *, kinds: tuple[str, ...] = KINDS, most: int = 8) -> Act:
    """One fault at one of the next bulks; a killed process makes no further request.

    :param most: bulks of which it may be any
    """
    kind, left = choose.choice(kinds), choose.randint(1, most)
    dead = False

    def act(request: Request, forward: Forward) -> Any:
        nonlocal left, dead
        if dead:
            raise Crashed
        left -= request.is_bulk
        if left or not request.is_bulk:
            return forward()
        if kind.startswith("killed"):
            dead = True
            if kind == "killed after":
                forward()
            raise Crashed
        if kind == "conflict":
            return refused(request, 409, "version_conflict_engine_exception")
        if kind == "overloaded":
            return refused(request, 429, "rejected_execution_exception")
        forward()
        raise lost()

    return act


def stalled(wait: Callable[[], None], *, at: int) -> Act:
    """A process that is held at one of its requests, and goes on as if nothing had been.

    :param at: requests that pass before
    """
    left = at + 1

    def act(_: Request, forward: Forward) -> Any:
        nonlocal left
        left -= 1
        if not left:
            wait()
        return forward()

    return act
