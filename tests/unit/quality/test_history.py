"""When a recovery is said: once, and only by a run that can know."""

import pytest

from searchsync.quality.history import recovered


def results(text: str) -> list[dict[str, str]]:
    """From ``fb lg``: full or light, good, warning or bad; the oldest first."""
    levels, verdicts = {"f": "full", "l": "light"}, {"g": "good", "w": "warning", "b": "bad"}
    return [
        {"run": str(number), "level": levels[word[0]], "verdict": verdicts[word[1]]}
        for number, word in enumerate(text.split())
    ]


@pytest.mark.parametrize(
    ("course", "said"),
    [
        ("fg", False),
        ("fb fg", True),
        ("fb fw", True),
        ("fb fg fg", False),
        ("fb fb", False),
        ("lb lg", True),
        ("lb lg lg", False),
        ("fb lg", False),
        ("fb lg fg", True),
        ("fb lg fg lg", False),
        ("lb fg", True),
        ("lb fg lg", False),
        ("fb lb lg", False),
        ("fb lb lg lg", False),
        ("fb fg lb lg", True),
        ("fb fw lb lg", True),
        ("fb lb lg fg", True),
        ("lg fb lg fg fg", False),
    ],
)
def test_a_recovery_is_said_once_by_who_can_know(course: str, said: bool) -> None:
    """A light run cannot know whether what a full one found is mended."""
    *before, last = results(course)
    assert recovered(last, before[::-1]) is said


def test_a_repeated_run_does_not_recover_from_itself() -> None:
    (last,) = results("fg")
    assert recovered(last, [{**last, "verdict": "bad"}]) is False
