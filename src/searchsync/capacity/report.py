"""The report of a run, as JSON and as a page that needs no network."""

import json
from html import escape
from pathlib import Path
from typing import Any

from searchsync import alarms
from searchsync.capacity.advice import GB, TENANT, Advice
from searchsync.capacity.curve import curve
from searchsync.capacity.forecast import COVERAGE, LEAST_DAYS
from searchsync.capacity.outlook import Outlook, Reached
from searchsync.capacity.room import Room
from searchsync.capacity.run import CapacityReport

TENANTS = 10
"""Number of tenants of an index that the page shows; the figures have more."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d1d1f; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; }
th { border-bottom: 2px solid #ccc; } td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
.good { color: #0a7d33; } .plan { color: #9a6700; } .act { color: #c62828; }
svg { max-width: 100%; height: auto; } svg text { font-size: 11px; fill: #666; }
"""


def write(report: CapacityReport, folder: Path) -> None:
    """Write ``capacity.json`` and ``summary.html``."""
    folder.mkdir(parents=True, exist_ok=True)
    evidence = {"documents": report.documents(), "problems": report.problems}
    (folder / "capacity.json").write_text(json.dumps(evidence, indent=2), encoding="utf-8")
    (folder / "summary.html").write_text(html(report), encoding="utf-8")


def html(report: CapacityReport) -> str:
    """Return the page."""
    advice = [_told(one) for one in report.advice] or ['<p class="good">Nothing needs to be done.</p>']
    parts = [
        f"<h1>Capacity</h1><p>{report.at:%Y-%m-%d %H:%M} UTC<br>{escape(report.run)}</p>",
        *(f'<p class="act">{escape(problem)}</p>' for problem in report.problems),
        *advice,
        _disk(report.room) if report.room else "",
        *(_index(outlook, alarms.table()[TENANT].threshold) for outlook in report.outlooks.values()),
        '<p><a href="capacity.json">all figures</a>; earlier ones are in the index searchsync-capacity.</p>',
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Capacity</title><style>{_STYLE}</style>'
        f"<body>{''.join(parts)}</body></html>"
    )


def when(found: Reached | None) -> str:
    """Return in words when a limit is reached."""
    if found is None:
        return "no forecast"
    if found.expected == 0:
        return "now"
    ends = (found.earliest, found.expected, found.latest)
    earliest, expected, latest = ("beyond the horizon" if end is None else f"{end} days" for end in ends)
    if found.earliest is None:
        return "not within the horizon"
    return f"in {expected}; earliest {earliest}, latest {latest}"


def _told(one: Advice) -> str:
    does = f"<br>{escape(one.dag_id)}: <code>{escape(json.dumps(one.parameters))}</code>" if one.dag_id else ""
    return f'<p class="{"act" if one.urgent else "plan"}">{one.severity} {escape(one.text)}{does}</p>'


def _disk(room: Room) -> str:
    return "<h2>Disks</h2>" + _table(
        {
            "nodes with data": f"{room.nodes}",
            "used": f"{_gb(room.used)} of {_gb(room.total)}",
            f"room below the low watermark ({room.low})": _gb(room.room),
            "room that a reindex of the largest index needs": _gb(room.reindex),
            "when a reindex no longer fits": when(room.full),
        }
    )


def _index(outlook: Outlook, limit: float) -> str:
    """Return the part about an index.

    :param limit: documents of a tenant above which it gets its own
    """
    size, trend = outlook.size, outlook.trend
    rows = {
        "documents": f"{size.documents:,} and {size.tombstones:,} tombstones",
        "bytes of the primary shards": f"{_gb(size.bytes)} ({_each(outlook)} for each document)",
        "primary shards": f"{size.shards}, the largest has {_gb(size.largest_shard_bytes)}",
        "copies of each shard": f"{size.copies}",
    }
    if trend is None:
        rows["forecast"] = f"none yet: there are points of {len(outlook.points)} days, {LEAST_DAYS} are needed"
    else:
        after = outlook.bytes_after(outlook.horizon)
        rows["growth"] = f"{trend.per_day:+,.1f} documents a day, by the points of {trend.days} days"
        rows[f"bytes in {outlook.horizon} days"] = (
            f"{_gb(after.expected)}; with {COVERAGE:.0%} between {_gb(after.low)} and {_gb(after.high)}"
        )
    rows |= {f"tenant {name}": _tenant(outlook, name, limit) for name in [*size.tenants][:TENANTS]}
    return f"<h2>{escape(size.entity)}</h2><p>{escape(size.index)}</p>{_table(rows)}{curve(outlook)}"


def _tenant(outlook: Outlook, name: str, limit: float) -> str:
    documents, line = f"{outlook.size.tenants[name]:,} documents", outlook.tenants.get(name)
    if line is None:
        return documents
    return f"{documents}, {line.per_day:+,.1f} a day; {limit:,.0f}: {when(outlook.tenant_reaches(name, limit))}"


def _each(outlook: Outlook) -> str:
    return f"{outlook.size.bytes / outlook.size.documents:,.0f} B" if outlook.size.documents else "-"


def _table(rows: dict[str, Any]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows.items())
    return f"<table>{body}</table>"


def _gb(size: float) -> str:
    return f"{size / GB:,.3f} GB"
