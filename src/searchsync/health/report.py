"""The look as files for people and programs: a page that needs no network, and JSON."""

import json
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from searchsync.health.run import Health
from searchsync.health.verdict import State, Verdict

PAGE, DATA, THREADS = "summary.html", "health.json", "hot_threads.txt"
_ORDER = {State.BAD: 0, State.UNKNOWN: 1, State.GOOD: 2}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1d1d1f; }
h1 { font-size: 1.4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top; }
th { border-bottom: 2px solid #ccc; } td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
.good { color: #0a7d33; } .unknown { color: #9a6700; } .bad { color: #c62828; }
"""


def write(health: Health, folder: Path) -> None:
    """Write the files of a look into the folder of its run; those of an earlier attempt are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATA).write_text(json.dumps(as_json(health), indent=2, ensure_ascii=False), encoding="utf-8")
    (folder / PAGE).write_text(html(health), encoding="utf-8")
    if health.hot_threads:
        (folder / THREADS).write_text(health.hot_threads, encoding="utf-8")


def as_json(health: Health) -> dict[str, Any]:
    """Return a look as JSON knows it."""
    return {
        "at": health.at.isoformat(timespec="seconds"),
        "seconds": health.seconds,
        **{state.value: len(health.of(state)) for state in State},
        "verdicts": [asdict(verdict) for verdict in ordered(health)],
    }


def ordered(health: Health) -> list[Verdict]:
    """Return the verdicts as people want them: what is wrong first, the most urgent first."""
    return sorted(health.verdicts, key=lambda one: (_ORDER[one.state], one.severity, one.alarm, one.subject))


def html(health: Health) -> str:
    """Return the page."""
    counts = ", ".join(
        f'<span class="{state.value}">{len(health.of(state))} {state.value}</span>'
        for state in (State.BAD, State.UNKNOWN, State.GOOD)
    )
    rows = "".join(
        f'<tr><td class="{one.state.value}">{one.state.value}</td><td>{one.severity}</td><td>{escape(one.name)}</td>'
        f"<td>{escape(one.seen)}</td><td>{escape(one.limit)}</td><td>{escape(one.runbook)}</td></tr>"
        for one in ordered(health)
    )
    threads = (
        f'<p><a href="{THREADS}">What the threads of OpenSearch were busy with</a></p>' if health.hot_threads else ""
    )
    title = f"cluster_health, {health.at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><body>'
        f"<h1>{title}</h1><p>{counts}; it took {health.seconds:g} s.</p>{threads}<table><tr><th></th><th>severity</th>"
        f"<th>what</th><th>seen</th><th>wrong when</th><th>runbook</th></tr>{rows}</table>"
        f'<p><a href="{DATA}">The same as JSON</a></p></body></html>'
    )
