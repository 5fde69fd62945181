"""A verdict for people: JSON with the series, and a page that needs no network."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from searchsync.canary.run import Record
from searchsync.canary.series import Points, Series

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d1d1f; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top; }
th { border-bottom: 2px solid #ccc; } td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
.pass { color: #0a7d33; } .fail { color: #c62828; } .inconclusive { color: #b26a00; }
"""

_HEAD = ("metric", "verdict", "minutes", "before", "new", "worse by", "Cliff's delta", "p", "level", "why")
WIDTH, HEIGHT = 300, 48


def write(found: Record, history: Sequence[Record], series: Series, folder: Path) -> None:
    """Write ``canary.json`` and ``summary.html``.

    :param history: records of the same deployment, this one among them
    """
    folder.mkdir(parents=True, exist_ok=True)
    points = {
        name: {"baseline": [*pair.baseline.items()], "canary": [*pair.canary.items()]} for name, pair in series.items()
    }
    (folder / "canary.json").write_text(json.dumps({**found, "series": points}, indent=2), encoding="utf-8")
    (folder / "summary.html").write_text(html(found, history, series), encoding="utf-8")


def html(found: Record, history: Sequence[Record], series: Series) -> str:
    """Return the page."""
    name = f"{found['entity']} {found['subject']}".strip()
    findings = "".join(_finding(finding) for finding in found["findings"])
    stages = "".join(_row([one["at"], f"{one['share']} %", one["verdict"], one["why"]]) for one in history)
    curves = "".join(
        f"<tr><td>{escape(signal)}</td><td>{curve(pair.baseline, pair.canary)}</td></tr>"
        for signal, pair in series.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Canary</title><style>{_STYLE}</style>'
        f'<body><h1>{escape(name)}, {found["share"]} %: <span class="{found["verdict"]}">{found["verdict"]}</span></h1>'
        f"<p>{escape(found['why'])}</p><p>Version {escape(found['canary'])} beside {escape(found['baseline'])}, "
        f"deployment {escape(found['deployment'])}, judged {escape(found['at'])}.</p>"
        f"<table>{_row(_HEAD, 'th')}{findings}</table>"
        f"<h2>Series</h2><p>Grey: the version of before. Blue: the new one.</p><table>{curves}</table>"
        f"<h2>This deployment so far</h2><table>{_row(('judged', 'share', 'verdict', 'why'), 'th')}{stages}</table>"
        '<p><a href="canary.json">All figures</a>; all verdicts are in the index searchsync-canary.</p>'
    )


def _finding(found: Mapping[str, Any]) -> str:
    metric = f"{found['metric']}{' (critical)' if found['critical'] else ''}"
    figures = (_figure(found[name]) for name in ("baseline", "canary", "change", "effect", "p", "level"))
    return _row([metric, found["verdict"], str(found["samples"]), *figures, found["why"]])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def _row(cells: Sequence[str], kind: str = "td") -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def curve(baseline: Points, canary: Points) -> str:
    """Return both series of a signal as curves over their minutes; what is not known is left out."""
    top = max([1e-9, *(value for points in (baseline, canary) for value in points.values() if value is not None)])

    def line(points: Points, colour: str) -> str:
        step = WIDTH / max(len(points) - 1, 1)
        places = (
            f"{number * step:.1f},{HEIGHT - HEIGHT * value / top:.1f}"
            for number, value in enumerate(points.values())
            if value is not None
        )
        return f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    return (
        f'<svg viewBox="-2 -2 {WIDTH + 4} {HEIGHT + 4}" width="{WIDTH}" role="img" aria-label="0 to {top:,.4g}">'
        f"{line(baseline, '#999')}{line(canary, '#1565c0')}</svg> 0 to {top:,.4g}"
    )
