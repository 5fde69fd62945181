"""What a drill found, for people and for the record: JSON, and a page that needs no network."""

import json
from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from searchsync import alarms
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import AliasConflict
from searchsync.recovery import drill
from searchsync.recovery.drill import DrillPlan
from searchsync.recovery.records import BAD, DRILL, GOOD, Record, Records
from searchsync.telemetry import metrics

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem; color: #1d1d1f; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top; }
th { border-bottom: 2px solid #ccc; } td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
.good { color: #0a7d33; } .bad { color: #c62828; }
"""

WAYS = {"restore": "restore and catch-up (RTO)", "reindex": "reindex from the source (RTO)"}
ALARMS = ("drill-failed", "recovery-slow", "recovery-loss")
"""Rows of ``alarms.yaml`` that a drill looks at."""

ASSUMPTIONS = (
    "Documents an hour are those of this drill, divided by what it took: each part is taken to grow with their number.",
    "The size of a document, the share of changed ones and the load of the cluster are taken to stay as they were.",
    "One process reads one part of the source after the other. A reindex DAG loads several at once.",
    "A source that is lost, too, has to be restored first: that time is not in here.",
)


def judge(indexes: EntityIndexes, plan: DrillPlan, found: Mapping[str, Mapping[str, Any]]) -> Record:
    """Return the record of a drill.

    It is good when both ways led to an index that is equal to its source, the faster one within the hour, and what is
    live was not touched.

    :param found: by way (``restore``, ``reindex``) what was measured, as ``Measured.as_dict``; a way that failed is not
        in it
    """
    limits, problems = alarms.table(), []
    breaching = dict.fromkeys(ALARMS, False)
    for way in WAYS:
        measured = found.get(way)
        if measured is None:
            problems.append(f"the {way} did not come to its end: see the task's log")
        elif measured["different"]:
            kinds = ", ".join(f"{count} {kind}" for kind, count in measured["different"].items())
            problems.append(f"after the {way} the index is not equal to its source: {kinds}")
    try:
        live = drill.check_untouched(indexes, plan)
    except AliasConflict as error:
        live = "?"
        problems.append(str(error))
    breaching["drill-failed"] = bool(problems)
    times = [measured["total"] for measured in found.values()]
    if times and limits["recovery-slow"].breaches(min(times)):
        breaching["recovery-slow"] = True
        problems.append(f"the faster way took {min(times):.0f} s: {limits['recovery-slow'].signal}")
    loss = max((measured["loss_seconds"] for measured in found.values()), default=0.0)
    if limits["recovery-loss"].breaches(loss):
        breaching["recovery-loss"] = True
        problems.append(f"a change of {loss:.0f} s ago is missing: {limits['recovery-loss'].signal}")
    behind = datetime.fromisoformat(plan.began) - datetime.fromisoformat(plan.saved_at)
    record: Record = {
        "kind": DRILL,
        "run": plan.run,
        "entity": plan.entity,
        "snapshot": plan.snapshot,
        "saved_at": plan.saved_at,
        "state": BAD if problems else GOOD,
        "why": "; ".join(problems),
        "behind_seconds": round(behind.total_seconds(), 1),
        "loss_seconds": loss,
        "details": {**found, "live_before": plan.live, "live_after": live, "breaching": breaching},
    }
    for way, measured in found.items():
        record |= {f"{way}_seconds": measured["total"], "documents": measured["documents"]}
        record[f"{way}_documents_an_hour"] = measured["documents_an_hour"]
    return record


def publish(client: Client, records: list[Record], folder: Path) -> None:
    """Keep the records of a run, write ``drill.json`` and ``summary.html``, and tell the alarms."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drill.json").write_text(json.dumps(records, indent=2), encoding="utf-8")
    (folder / "summary.html").write_text(html(records), encoding="utf-8")
    for record in records:
        Records(client).keep(record)
        metrics.emit("RecoveryLossSeconds", record["loss_seconds"], entity=record["entity"])
        if times := [record[f"{way}_seconds"] for way in WAYS if f"{way}_seconds" in record]:
            metrics.emit("RecoverySeconds", min(times), entity=record["entity"])
    alarms.report({name: sum(one["details"]["breaching"][name] for one in records) for name in ALARMS})


def html(records: list[Record]) -> str:
    """Return the page."""
    parts = "".join(_drill(record) for record in records)
    notes = "".join(f"<li>{escape(text)}</li>" for text in ASSUMPTIONS)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Recovery drill</title><style>{_STYLE}</style>'
        f"<body><h1>Recovery drill</h1>{parts}<h2>How to read it</h2><ul>{notes}</ul>"
        '<p><a href="drill.json">All figures</a>; earlier drills are in the index searchsync-recovery.</p>'
    )


def _drill(record: Record) -> str:
    rows = {
        "snapshot": f"{record['snapshot']}, begun {record['saved_at']}",
        "a restore alone would lack": f"the last {record['behind_seconds']:,.0f} s",
        "missing after the catch-up (RPO)": f"{record['loss_seconds']:,.0f} s",
        **{title: _way(record["details"].get(way)) for way, title in WAYS.items()},
        "live, before and after": f"{record['details']['live_before']}, {record['details']['live_after']}",
    }
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows.items())
    why = f'<p class="bad">{escape(record["why"])}</p>' if record["why"] else ""
    state = record["state"]
    return f'<h2>{escape(record["entity"])}: <span class="{state}">{state}</span></h2>{why}<table>{body}</table>'


def _way(measured: Mapping[str, Any] | None) -> str:
    if measured is None:
        return "not measured"
    parts = ", ".join(f"{name.replace('_', ' ')} {seconds:,.1f} s" for name, seconds in measured["seconds"].items())
    return (
        f"{measured['total']:,.1f} s ({parts}) for {measured['documents']:,} documents, {measured['changed']:,} keys "
        f"written by the catch-up; within an hour {measured['documents_an_hour']:,} documents"
    )
