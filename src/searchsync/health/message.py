"""The words of the news, as Slack shows them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from searchsync.health.memory import Change, Condition, Quiet

DAG_ID = "cluster_health"
MOST = 2_600
"""Characters of a message. What is longer goes into several."""

_SEEN = 300
"""Characters of what was seen, in a line; the report has all of it."""

_LISTED = 20
"""Things that happened in a window, in its message."""


def of_changes(changes: Sequence[Change]) -> list[str]:
    """Return the messages that say some changes, the worst first; none when there are none."""
    bad = sorted((one.condition for one in changes if not one.over and not one.condition.unknown), key=_order)
    blind = sorted((one.condition for one in changes if not one.over and one.condition.unknown), key=_order)
    over = sorted((one.condition for one in changes if one.over), key=_order)
    lines = [*map(_bad, bad), *_blind(blind), *map(_over, over)]
    return [*_packed(f"{_icon(bad, blind)} *{DAG_ID}*: {_counted(bad, blind, over)}", lines)] if lines else []


def of_window(name: str, quiet: Quiet, handed_on: Sequence[str] = ()) -> str:
    """Return the message that says what happened while a window kept it quiet.

    :param handed_on: other windows, which are open and keep quiet what still is
    """
    head = f":wrench: *{DAG_ID}*: the maintenance window {name} ({quiet.why} {quiet.who}) is over"
    lines = [
        f"• {noted['name']}: {_time(noted['from'])} to {_time(noted['to'])}"
        if noted["to"]
        else f"• {noted['name']}: since {_time(noted['from'])}, and *it still is*"
        for noted in sorted(quiet.happened.values(), key=lambda noted: (bool(noted["to"]), noted["from"]))
    ]
    if handed_on:
        lines.append(f"• the rest is kept quiet by {', '.join(handed_on)}")
    if not lines:
        return f"{head}; nothing happened meanwhile"
    more = [f"• and {len(lines) - _LISTED} more, which the reports of the runs name"] if len(lines) > _LISTED else []
    return "\n".join([head, *lines[:_LISTED], *more])


def named(condition: Condition) -> str:
    """Return which row it is, of which thing, in a few words."""
    return f"not known: {condition.name}" if condition.unknown else f"{condition.severity} {condition.name}"


def _order(condition: Condition) -> tuple[str, str]:
    return condition.severity, condition.name


def _icon(bad: Sequence[Condition], blind: Sequence[Condition]) -> str:
    if bad:
        return ":red_circle:" if bad[0].severity in ("P0", "P1") else ":warning:"
    return ":grey_question:" if blind else ":large_green_circle:"


def _counted(bad: Sequence[Condition], blind: Sequence[Condition], over: Sequence[Condition]) -> str:
    said = [(len(bad), "wrong"), (len(blind), "not known"), (len(over), "over")]
    return ", ".join(f"{count} {what}" for count, what in said if count)


def _bad(condition: Condition) -> str:
    said = f"• *{condition.severity}* *{condition.name}*: {condition.signal} {condition.seen[:_SEEN]}"
    return f"{said} (since {_time(condition.since)}). *Runbook* {condition.runbook}"


def _blind(conditions: Sequence[Condition]) -> Iterator[str]:
    """Say each reason once: when a server is away, many looks at it fail alike."""
    by_reason: dict[str, list[str]] = {}
    for condition in conditions:
        by_reason.setdefault(condition.seen[:_SEEN], []).append(condition.name)
    for reason, names in by_reason.items():
        yield f"• *not known*: {', '.join(names)}: {reason}"


def _over(condition: Condition) -> str:
    began = _time(condition.since)
    return f"• *known again*: {condition.name}" if condition.unknown else f"• *over*: {named(condition)}, since {began}"


def _time(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"


def _packed(head: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield messages that are short enough, each with the head."""
    text = head
    for line in lines:
        if text != head and len(text) + len(line) > MOST:
            yield text
            text = head
        text += f"\n{line}"
    yield text
