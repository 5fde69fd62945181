"""When a recovery is said: once, and only by a run that can know."""

from typing import Any

import pytest

from searchsync.quality.history import History, recovered


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


def test_a_repeated_run_that_compares_nothing_keeps_what_was_counted() -> None:
    """The objectives count a full result's documents: without them, no month with such a run could be reported."""
    kept: dict[str, Any] = {}

    class Results:
        def find(self, _: Any) -> list[dict[str, Any]]:
            return [{"_source": one} for one in kept.values()]

        def put(self, key: str, result: dict[str, Any]) -> None:
            kept[key] = result

    history = History.__new__(History)
    history._results = Results()  # type: ignore[assignment]
    base = {"run": "r", "index": "i", "verdict": "bad", "failed": [], "operations": {}}
    counts = {"source_documents": 10, "index_documents": 9, "confirmed": 1, "not_looked_at": 0}
    history.keep({**base, **counts, "at": "2026-11-04T04:40:00+00:00", "level": "full"})
    found = history.keep({**base, "at": "2026-11-04T05:40:00+00:00", "level": "light"})
    assert (found["level"], found["at"]) == ("full", "2026-11-04T05:40:00+00:00")
    assert {name: found.get(name) for name in counts} == counts
