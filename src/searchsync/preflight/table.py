"""The results for people: a line for each check, and below it what to do where it is not as it should be."""

import textwrap
from collections.abc import Iterator, Sequence

from searchsync.preflight.checks import Outcome, Result

MARKS = {
    Outcome.PASSED: "pass",
    Outcome.FAILED: "FAIL",
    Outcome.NOT_APPLICABLE: "not applicable",
    Outcome.NOT_ALLOWED: "NOT ALLOWED TO LOOK",
    Outcome.OPEN: "OPEN",
}
"""What an outcome is called in front of people."""

_SEEN = 100


def lines(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of the table, and at the end how many there are of each outcome."""
    name = max(len(result.check) for result in results)
    subject = max(len(result.subject) for result in results)
    for result in results:
        good = result.outcome in (Outcome.PASSED, Outcome.NOT_APPLICABLE)
        seen = textwrap.shorten(result.seen, _SEEN, placeholder="...") if good else result.seen
        yield f"{result.check:<{name}}  {result.subject:<{subject}}  {MARKS[result.outcome]}: {seen}"
        if not good:
            yield f"{'':<{name}}  why: {result.why}"
            yield f"{'':<{name}}  fix: {result.fix}"
    counts = {mark: sum(result.outcome is outcome for result in results) for outcome, mark in MARKS.items()}
    yield ", ".join(f"{count} {mark}" for mark, count in counts.items() if count)
