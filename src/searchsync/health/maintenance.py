"""Windows in which nobody is told of what they are for (``include/policies/maintenance.yaml``)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter

from searchsync.catalog import BAD_ENTITIES, CATALOG, include_dir
from searchsync.checked_yaml import CheckedYaml
from searchsync.errors import BadParams

WHOLE = "all"
LONGEST = timedelta(hours=48)
"""Of one time without a word. What takes longer is looked at in between, and gets another window."""

LONGEST_SERIES = timedelta(days=366)
"""From the first to the last window of a series: somebody confirms it once a year."""

_CLOCK = timedelta(hours=3)
"""By which a clock is put forward or back, at most."""


@dataclass(frozen=True)
class Window:
    """A window, or a series of them.

    :ivar what: an entity; or ``all``
    :ivar begin: of the window, or of the series
    :ivar end: of the window, or of the series
    :ivar cron: when a window of a series begins, by the clock of ``timezone``; empty for a single window
    :ivar length: of each window of a series
    """

    name: str
    what: str
    begin: datetime
    end: datetime
    who: str
    why: str
    cron: str = ""
    length: timedelta = timedelta(0)
    timezone: str = "UTC"

    def covers(self, entity: str) -> bool:
        """Whether it is for what concerns an entity, or, with an empty name, the cluster as a whole."""
        return self.what in (WHOLE, entity)

    def is_open(self, now: datetime) -> bool:
        """Whether it is open at a moment. Its end does not belong to it."""
        if not self.begin <= now < self.end:
            return False
        return not self.cron or any(self._starts(now - self.length, now))

    def _starts(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the moments at which windows of a series begin, in their order.

        Where clocks are put forward, what would begin in the hour that is left out does not begin.
        """
        first, last = (moment.astimezone(self._zone).replace(tzinfo=None) for moment in (after, until))
        moments = croniter(self.cron, first - _CLOCK, ret_type=datetime)
        try:
            while (local := moments.get_next()) <= last + _CLOCK:
                start = local.replace(tzinfo=self._zone).astimezone(UTC)
                there = start.astimezone(self._zone).replace(tzinfo=None) == local
                if there and after < start <= until:
                    yield start
        except CroniterBadDateError:
            return  # the expression means no moment any more

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def problem(self) -> str:
        """Return why it is refused; empty when it is not."""
        longest, length = LONGEST_SERIES if self.cron else LONGEST, self.end - self.begin
        if length <= timedelta(0):
            return "it ends before it begins"
        if length > longest:
            return f"it lasts {length}, and {longest} is the most: nobody would be told of anything meanwhile"
        return self._problem_of_series() if self.cron else ""

    def _problem_of_series(self) -> str:
        if self.length > LONGEST:
            return f"each of its windows lasts {self.length}, and {LONGEST} is the most"
        begun = False
        for earlier, later in pairwise(chain(self._starts(self.begin, self.end), [self.end + self.length + LONGEST])):
            if later - earlier <= self.length:
                return "the next of its windows begins before one ends, so it never ends"
            begun = True
        return "" if begun else "its cron expression means no moment between from and until"


def windows() -> Mapping[str, Window]:
    """Return the windows by name.

    :raises BadParams: when the file is not what its schema says, or one of them never ends or is too long; the message
        names file and line. Then none of them is heeded
    """
    file = CheckedYaml(include_dir() / "policies" / "maintenance.yaml", "maintenance.schema.json")
    found, problems = {}, []
    for name, row in file.content["windows"].items():
        try:
            window = _window(name, row)
            problem = window.problem()
        except (BadParams, ValueError, ZoneInfoNotFoundError) as error:
            problem = str(error)
        else:
            found[name] = window
        if problem:
            problems.append((file.line(["windows", name]), f"{name}: {problem}"))
    file.refuse(problems)
    return found


def _window(name: str, row: Mapping[str, str]) -> Window:
    if row["what"] != WHOLE and row["what"] not in {*CATALOG, *BAD_ENTITIES}:
        raise BadParams(f"{row['what']} is no entity; it is one of {', '.join([*CATALOG, WHOLE])}")
    begin, end = (datetime.fromisoformat(row[key]) for key in ("from", "until"))
    single = Window(name, row["what"], begin, end, row["who"], row["why"])
    if "cron" not in row:
        return single
    ZoneInfo(row["timezone"])
    croniter(row["cron"])
    series = {"cron": row["cron"], "length": timedelta(minutes=float(row["minutes"]))}
    return Window(name, row["what"], begin, end, row["who"], row["why"], timezone=row["timezone"], **series)  # type: ignore[arg-type]
