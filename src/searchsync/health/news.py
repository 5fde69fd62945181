"""What changed since the last look: what is told now, what is over, and what a window keeps quiet.

Each condition is told once when it has lasted for as many looks as its row wants, and once when it is over for as many,
three at most. A look that failed changes neither. The same memory, verdicts, windows and moment give the same news.
"""

import copy
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from searchsync.health import message
from searchsync.health.maintenance import Window
from searchsync.health.memory import Change, Condition, Memory, Quiet
from searchsync.health.silences import ALARM as FORGOTTEN
from searchsync.health.verdict import EVERY_SECONDS, State, Verdict

UNKNOWN_LOOKS = 3
"""Looks in a row that have to fail before somebody is told: one that fails is made up for by the next."""

OVER_LOOKS = 3
"""Looks in a row that have to be good, at most: good news may not take as long as bad news that needs hours."""

REMIND = timedelta(days=7)
"""After which a silence that was forgotten is told again: it is what was forgotten once."""


def advance(
    memory: Memory, verdicts: Sequence[Verdict], windows: Mapping[str, Window], now: datetime
) -> tuple[Memory, list[str]]:
    """Return the memory after a look, and the messages that its news make.

    :param now: moment of the look
    """
    after = copy.deepcopy(memory)
    # Looks that a person triggers in between are looks, but make nothing last longer.
    early = memory.at and now - datetime.fromisoformat(memory.at) < timedelta(seconds=EVERY_SECONDS / 2)
    changes = _changes(after.conditions, verdicts, now, step=0 if early else 1)
    open_now = {name: window for name, window in sorted(windows.items()) if window.is_open(now)}
    for name, window in open_now.items():
        after.quiet.setdefault(name, Quiet(window.what, window.who, window.why, now.isoformat()))
    told = [change for change in changes if not _kept_quiet(after, change, open_now, now)]
    ended = _ended(after, open_now)
    after.used = {name: after.used.get(name, now.isoformat()) for name in windows}
    after.at = now.isoformat()
    return after, [*message.of_changes(told), *ended]


def _changes(
    conditions: dict[str, Condition], verdicts: Sequence[Verdict], now: datetime, *, step: int
) -> list[Change]:
    """Bring the conditions up to date, and return those that are news."""
    seen = {_key(one, unknown=one.state is State.UNKNOWN): one for one in verdicts if one.state is not State.GOOD}
    blind = {(one.alarm, one.subject) for one in verdicts if one.state is State.UNKNOWN}
    found: list[Change] = []
    for key in sorted({*conditions, *seen}):
        if key in seen:
            condition = conditions.setdefault(key, _new(seen[key], now))
            if _lasts(condition, seen[key].seen, now, step):
                found.append(Change(key, condition, over=False))
        elif _is_blind(conditions[key], blind):
            continue
        elif not conditions[key].told:
            del conditions[key]
        else:
            conditions[key].good = max(1, conditions[key].good + step)
            if conditions[key].good >= min(conditions[key].looks, OVER_LOOKS):
                found.append(Change(key, conditions.pop(key), over=True))
    return found


def _key(verdict: Verdict, *, unknown: bool) -> str:
    return f"{'?' if unknown else ''}{verdict.alarm}|{verdict.subject}"


def _new(verdict: Verdict, now: datetime) -> Condition:
    unknown = verdict.state is State.UNKNOWN
    looks = UNKNOWN_LOOKS if unknown else verdict.looks
    return Condition.of(verdict, now.isoformat(), unknown=unknown, looks=looks)


def _lasts(condition: Condition, seen: str, now: datetime, step: int) -> bool:
    """Count a look that saw a condition. Return whether it is to be told now."""
    condition.seen, condition.good, condition.bad = seen, 0, max(1, condition.bad + step)
    if condition.told:
        again = condition.alarm == FORGOTTEN and now - datetime.fromisoformat(condition.told) >= REMIND
        if not again:
            return False
    elif condition.bad < condition.looks:
        return False
    condition.told = now.isoformat()
    return True


def _is_blind(condition: Condition, blind: AbstractSet[tuple[str, str]]) -> bool:
    """Whether nobody knows if what is wrong still is; of a row as a whole, or of this thing."""
    return not condition.unknown and bool(blind & {(condition.alarm, condition.subject), (condition.alarm, "")})


def _kept_quiet(after: Memory, change: Change, open_now: Mapping[str, Window], now: datetime) -> bool:
    """Note a change with the first window that is for it. Return whether there is one."""
    name = next((name for name, window in open_now.items() if window.covers(change.condition.entity)), None)
    if name is None:
        return False
    after.used[name] = now.isoformat()
    noted = after.quiet[name].happened.setdefault(
        change.key, {"name": message.named(change.condition), "from": change.condition.since, "to": ""}
    )
    noted["to"] = now.isoformat() if change.over else ""
    return True


def _ended(after: Memory, open_now: Mapping[str, Window]) -> list[str]:
    """Forget the windows that are over. Return a message for each, without what another one keeps quiet from now on."""
    messages = []
    for name in sorted(set(after.quiet) - set(open_now)):
        quiet = after.quiet.pop(name)
        handed_on = set()
        for key, noted in [*quiet.happened.items()]:
            condition = after.conditions.get(key)
            others = (one for one, window in open_now.items() if condition and window.covers(condition.entity))
            if not noted["to"] and (other := next(others, None)):
                after.quiet[other].happened.setdefault(key, quiet.happened.pop(key))
                handed_on.add(other)
        messages.append(message.of_window(name, quiet, sorted(handed_on)))
    return messages
