"""The evidence of a quality run on one page that needs no network: results, findings, and how they were over time."""

from datetime import datetime
from html import escape
from typing import Any

from searchsync.quality.history import Result

WIDTH, HEIGHT, MARGIN = 640, 120, 60
LISTED = 100
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d1d1f; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top; }
th { border-bottom: 2px solid #ccc; } td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
.good { color: #0a7d33; } .warning { color: #9a6700; } .bad, .critical { color: #c62828; }
svg { max-width: 100%; height: auto; } svg text { font-size: 11px; fill: #666; }
"""
_FOOT = """<p><a href="data_docs/index.html">Data Docs</a> (styled with a network only),
<a href="quality.json">all figures</a>; earlier results are in the index searchsync-quality.</p>"""


def html(evidence: dict[str, Any], before: list[Result]) -> str:
    """Return the page.

    :param evidence: as ``quality.json`` has it
    :param before: earlier results of the entity, the newest first
    """
    result = evidence["result"]
    title = f"{result['entity']}: {result['verdict']}"
    results = [*reversed([earlier for earlier in before if earlier["run"] != result["run"]])]
    results += [result] if result["live"] else []  # the curves are of what is live
    described = f"{result['index']}{'' if result['live'] else ' (not live)'}, {result['level']}, {result['at']}"
    parts = [
        f'<h1>{escape(result["entity"])}: <span class="{result["verdict"]}">{result["verdict"]}</span></h1>',
        f"<p>{escape(described)}<br>{escape(result['run'])}</p>",
        "".join(f'<p class="bad">{escape(problem)}</p>' for problem in result["problems"]),
        _expectations(evidence["expectations"]["results"]),
        _comparison(evidence["comparison"]) if evidence["comparison"] else "<p>Nothing was compared in this run.</p>",
        _repair(evidence["repair"]) if evidence["repair"] else "",
        "<h2>Over time</h2>",
        plot("confirmed differences", [(r["at"], r["confirmed"]) for r in results if "confirmed" in r]),
        plot("documents in the index", [(r["at"], r["index_documents"]) for r in results if "index_documents" in r]),
        *(plot(name.replace("_", " "), _over_time(results, name)) for name in sorted(result["operations"])),
        _FOOT,
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<body>{''.join(parts)}</body></html>"
    )


def _expectations(results: list[dict[str, Any]]) -> str:
    body = "".join(
        f'<tr><td class="{"good" if found["holds"] else found["severity"]}">'
        f"{'holds' if found['holds'] else found['severity']}</td>"
        f"<td>{escape(found['name'])}</td><td>{escape(found['observed'])}</td></tr>"
        for found in results
    )
    return f"<h2>Expectations</h2><table><tr><th></th><th>expectation</th><th>observed</th></tr>{body}</table>"


def _comparison(report: dict[str, Any]) -> str:
    names = ("source_count", "index_count", "confirmed", "not_looked_at", "unusable", "pending", "moving")
    counts = "".join(
        f"<tr><td>{name.replace('_', ' ')}</td><td>{report[name]:,}</td></tr>"
        for name in (*names, "sampled", "seconds")
        if name in report  # an earlier attempt may be of a build that had another name for it
    )
    shown = report["findings"][:LISTED]
    columns = ("kind", "key", "since", "source", "index")
    rows = ("".join(f"<td>{escape(found[name])}</td>" for name in columns) for found in shown)
    findings = "".join(f"<tr>{row}</tr>" for row in rows)
    text = f"<h2>Comparison</h2><table>{counts}</table>"
    if left_out := report.get("dropped"):
        rows = (f"<tr><td>{escape(path)}</td><td>{count:,}</td></tr>" for path, count in sorted(left_out.items()))
        text += f"<h2>Values left out of documents, by field</h2><table>{''.join(rows)}</table>"
    if shown:
        text += f"<h2>Confirmed differences, {len(shown)} of {report['confirmed']:,}</h2><table>"
        text += (
            f"<tr><th>kind</th><th>key</th><th>not older than</th><th>source</th><th>index</th></tr>{findings}</table>"
        )
    return text


def _repair(repair: dict[str, Any]) -> str:
    what = "did not end" if "failed" in repair else "would write, as a dry run" if repair["dry_run"] else "wrote"
    counts = ", ".join(f"{name} {value}" for name, value in repair.items() if name != "dry_run")
    return f"<h2>Repair</h2><p>The repair {what}: {escape(counts)}</p>"


def _over_time(results: list[Result], name: str) -> list[tuple[str, float]]:
    return [(result["at"], result["operations"][name]) for result in results if name in result["operations"]]


def plot(title: str, points: list[tuple[str, float]]) -> str:
    """Return values by time as a line, from nought to the highest; nothing where there is nothing to see.

    It is drawn by hand, because altair, which is locked, draws with scripts from a network only.
    """
    if len(points) < 2 or not any(value for _, value in points):
        return ""
    times = [datetime.fromisoformat(at).timestamp() for at, _ in points]
    first, span, top = times[0], max(times[-1] - times[0], 1.0), max(1.0, *(value for _, value in points))
    places = [
        (MARGIN + (WIDTH - MARGIN) * (time - first) / span, HEIGHT - HEIGHT * value / top)
        for time, (_, value) in zip(times, points, strict=True)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#1565c0"/>' for x, y in places)
    return (
        f'<p>{escape(title)}</p><svg viewBox="-4 -6 {WIDTH + 12} {HEIGHT + 26}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(title)}"><text x="0" y="8">{top:,.6g}</text><text x="0" y="{HEIGHT}">0</text>'
        f'<path d="M{MARGIN} 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#ccc"/>'
        f'<polyline points="{line}" fill="none" stroke="#1565c0"/>{dots}'
        f'<text x="{MARGIN}" y="{HEIGHT + 16}">{escape(points[0][0][:16])}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{escape(points[-1][0][:16])}</text></svg>'
    )
