"""What keeps alarms quiet and may have been forgotten: windows that are over or keep nothing quiet, paused DAGs."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from searchsync.health.maintenance import Window
from searchsync.health.memory import Memory
from searchsync.health.reading import Reading

ALARM = "silence-forgotten"

UNUSED = timedelta(days=28)
"""After which a series of windows that kept nothing quiet counts: most weeks nothing goes wrong in one."""


def readings(
    memory: Memory, windows: Mapping[str, Window], paused: Mapping[str, str], now: datetime
) -> Iterator[Reading]:
    """Yield for each silence the days for which it may have been forgotten.

    :param paused: since when each paused DAG is known to be paused (ISO 8601)
    """
    for name, window in sorted(windows.items()):
        entity = "" if window.what == "all" else window.what
        idle = now - datetime.fromisoformat(memory.used.get(name, now.isoformat()))
        if window.end <= now:
            seen = f"the window is over since {window.end:%Y-%m-%d}: {window.who} may take it out of maintenance.yaml"
            yield Reading(ALARM, name, _days(now - window.end), seen, entity)
        elif window.cron and idle > UNUSED:
            seen = f"it has kept nothing quiet for {idle.days} days: ask {window.who} whether it is needed"
            yield Reading(ALARM, name, _days(idle), seen, entity)
        else:
            yield Reading(ALARM, name, 0, "it is in use, or will be", entity)
    for dag_id, since in sorted(paused.items()):
        began = datetime.fromisoformat(since)
        yield Reading(ALARM, dag_id, _days(now - began), f"the DAG is paused since {began:%Y-%m-%d}, or longer")


def _days(time: timedelta) -> float:
    return round(time / timedelta(days=1), 2)
