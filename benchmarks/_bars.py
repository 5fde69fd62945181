"""What a benchmark promised, and how it says whether it kept that."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A figure and what it has to be: at least ``least``, or at most ``most``."""

    name: str
    value: float
    least: float = float("-inf")
    most: float = float("inf")

    @property
    def met(self) -> bool:
        """NaN, of a figure that was not measured, meets nothing."""
        return self.least <= self.value <= self.most

    def __str__(self) -> str:
        """One line for people."""
        limits = [(">=", self.least), ("<=", self.most)]
        wanted = ", ".join(f"{sign} {limit:,g}" for sign, limit in limits if not math.isinf(limit))
        return f"{'met    ' if self.met else 'NOT MET'} {self.name}: {self.value:,.2f} ({wanted})"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"name": self.name, "value": self.value, "met": self.met}


def conclude(text: str, figures: dict[str, Any], bars: Sequence[Bar]) -> int:
    """Print the end of a benchmark: its table and its bars for people, then all of it in one line for programs.

    :returns: the exit code: 0 when all bars are met
    """
    met = all(bar.met for bar in bars)
    say("\n".join([*filter(None, [text]), *map(str, bars)]))
    print(json.dumps({**figures, "bars": [bar.as_dict() for bar in bars], "ok": met}))
    return 0 if met else 1


def say(text: str) -> None:
    """For people, at once."""
    print(text, flush=True)
