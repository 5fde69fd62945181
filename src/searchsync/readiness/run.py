"""All items, one after the other. What cannot be shown to be so is open: nothing is passed by default."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from searchsync.alarms import PREFIX, row_of
from searchsync.catalog import include_dir
from searchsync.errors import Different
from searchsync.preflight import run as preflight
from searchsync.preflight.checks import Finding, Outcome, Result
from searchsync.preflight.target import Target
from searchsync.readiness import checklist, of_aws, of_files, of_records
from searchsync.readiness.checklist import Checklist, Item

CHECKS: dict[str, Callable[[Target], Finding]] = {**of_aws.CHECKS, **of_records.CHECKS, **of_files.CHECKS}
"""Looks by name. Each may raise whatever it wants: then it has proven nothing."""

LAST_RUN = re.compile(r"^Last run: (\d{4}-\d{2}-\d{2})\b", re.MULTILINE)


QUIET_HOURS = 24
"""Hours in which an alarm that is to be quiet has to have had something to look at."""

NAME = "readiness"
"""Of the file for programs."""


@dataclass(frozen=True)
class Proof:
    """What speaks for an item.

    :ivar by: what has looked, such as ``preflight table`` or ``statement``
    :ivar seen: what is there, or why it proves nothing
    """

    by: str
    good: bool
    seen: str


def run(target: Target, *, now: datetime | None = None) -> list[Result]:
    """Look at each item, and change nothing. Return a result for each of the thirty.

    An item is passed when all that it names has passed. Whatever raises, is not there, does not apply or may not be
    looked at leaves it open.

    :param now: the present, for tests
    :raises BadParams: when there is no such environment, or a file is wrong
    """
    items, _ = checklist.read(), target.values
    prover = _Prover(target, items, (now or datetime.now(UTC)).date())
    return [prover.result(item) for item in items.items]


def title(environment: str) -> str:
    """Return the title of the page."""
    return f"Readiness of {environment}"


def open_items(results: Iterable[Result]) -> list[str]:
    """Return the name of each item that is not passed."""
    return [result.check for result in results if result.outcome is not Outcome.PASSED]


def judge(environment: str, names: Sequence[str]) -> None:
    """Say in one line which items are open.

    :raises Different: when there is one
    """
    if names:
        of = f"{len(names)} of {checklist.ITEMS}"
        raise Different(f"{environment} is not ready, {of} items are open: {', '.join(names)}")


@dataclass
class _Prover:
    """What looks, each thing once.

    :ivar today: in UTC
    """

    target: Target
    checklist: Checklist
    today: date
    _answers: dict[str, Any] = field(default_factory=dict)

    def result(self, item: Item) -> Result:
        """Return what became of an item."""
        proofs = [*self._proofs(item)]
        bad = [proof for proof in proofs if not proof.good]
        seen = "; ".join(f"{proof.by}: {proof.seen}" for proof in bad or proofs)
        fix = "Mend what is named, or look where it can be seen, and look again" if bad else ""
        outcome = Outcome.PASSED if proofs and not bad else Outcome.OPEN
        return Result(item.name, item.group, outcome, seen or "nothing looks at it", item.says, fix)

    def _proofs(self, item: Item) -> Iterator[Proof]:
        for name in item.preflight:
            yield self._proof(f"preflight {name}", partial(self._preflight, name))
        for name in item.checks:
            yield self._proof(f"check {name}", partial(self._once, name, partial(CHECKS[name], self.target)))
        for name in item.quiet:
            yield self._proof(f"alarm {name}", partial(self._quiet, name))
        if item.report:
            yield self._proof(f"report {item.report}", partial(self._report, item.report))
        if item.statement:
            yield self._proof(f"statement {item.name}", partial(self._statement, item.name))

    def _proof(self, by: str, look: Callable[[], Finding]) -> Proof:
        try:
            found = look()
        except Exception as error:  # noqa: BLE001 - what could not be looked at is open, whatever stood in the way
            return Proof(by, good=False, seen=f"{type(error).__name__}: {error}")
        return Proof(by, not found.problems, "; ".join(found.problems) or found.seen)

    def _once(self, name: str, ask: Callable[[], Any]) -> Any:
        """Return what was answered the first time, or raise it: what is away is not waited for again and again."""
        if name not in self._answers:
            try:
                self._answers[name] = ask()
            except Exception as error:  # noqa: BLE001 - it is raised below
                self._answers[name] = error
        if isinstance(found := self._answers[name], Exception):
            raise found
        return found

    def _preflight(self, name: str) -> Finding:
        lines = self._once("the preflight", partial(preflight.run, self.target))
        found = [line for line in lines if line.check == name]
        problems = [
            f"{line.subject}: {line.outcome.replace('_', ' ')}: {line.seen}"
            for line in found
            if line.outcome is not Outcome.PASSED
        ]
        return Finding(f"{len(found)} passed", problems if found else ["the preflight has no such line"])

    def _alarms(self) -> list[dict[str, Any]]:
        pages = self.target.aws("cloudwatch").get_paginator("describe_alarms")
        return [one for page in pages.paginate(AlarmNamePrefix=f"{PREFIX}-") for one in page["MetricAlarms"]]

    def _quiet(self, row: str) -> Finding:
        alarms = self._once("the alarms", self._alarms)
        own = [one for one in alarms if row_of(one["AlarmName"]) == row]
        problems = [f"{one['AlarmName']} is {one['StateValue']}" for one in own if one["StateValue"] != "OK"]
        for one in own:  # many alarms take no figures for good ones, so OK alone proves nothing
            parts = [query["MetricStat"]["Metric"] for query in one.get("Metrics", []) if "MetricStat" in query]
            metrics = parts or [{key: one[key] for key in ("Namespace", "MetricName", "Dimensions")}]
            if not all(of_aws.have_figures(self.target, metrics, QUIET_HOURS)):
                problems.append(f"{one['AlarmName']} has no figures of the last {QUIET_HOURS} h to be quiet about")
        return Finding(f"{len(own)} OK", problems if own else ["CloudWatch has none"])

    def _report(self, page: str) -> Finding:
        path = include_dir().parent / page
        if not path.is_file():
            return Finding("", ["there is no such page"])
        days = [date.fromisoformat(found) for found in LAST_RUN.findall(path.read_text(encoding="utf-8"))]
        if not days:
            return Finding("", ["it has no line 'Last run: YYYY-MM-DD'"])
        return self._dated(max(days), "its last run was")

    def _statement(self, name: str) -> Finding:
        said = self.checklist.statements.get(name)
        if said is None:
            return Finding("", ["nobody has said it (include/policies/statements.yaml)"])
        found = self._dated(said.date, f"{said.owner} said it")
        return Finding(f"{found.seen}: {said.says}", found.problems)

    def _dated(self, day: date, what: str) -> Finding:
        age, most = (self.today - day).days, self.checklist.days
        if age < 0:
            return Finding("", [f"{what} on {day}, which is in the future"])
        return Finding(f"{what} on {day}", [f"{what} on {day}, more than {most} days ago"] if age > most else [])
