"""A month's report: lines for people, JSON for programs, and a page with curves that needs no network."""

import json
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import Any

from searchsync.quality.report import STYLE, plot
from searchsync.slo.budget import MET, MISSED, UNKNOWN, Budget, Burnt, Incident
from searchsync.slo.policy import Objective, percent
from searchsync.slo.run import Judged, Report

SHOWN = 10
"""Number of incidents of an indicator that the page shows; the figures have all."""

_ORDER = (MISSED, UNKNOWN, MET)
_CLASSES = {MISSED: "bad", UNKNOWN: "warning", MET: "good"}

MEANS = {
    "availability": "requests to the search API that were answered",
    "errors": "requests that were answered, and not from what was kept while OpenSearch was away",
    "latency": "answers that came in time",
    "freshness": "measurements that found a change in time",
    "exactness": "documents that a full comparison found equal to their source",
}
"""What share an indicator is of, in words."""


def write(report: Report, folder: Path) -> None:
    """Write ``slo.json`` and ``summary.html`` into a folder, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slo.json").write_text(json.dumps(as_json(report), indent=2, ensure_ascii=False), encoding="utf-8")
    (folder / "summary.html").write_text(html(report), encoding="utf-8")


def ordered(report: Report) -> list[Judged]:
    """Return the indicators, what was missed first and what was met last."""
    return sorted(report.judged, key=lambda one: _ORDER.index(one.budget.state))


def lines(report: Report) -> list[str]:
    """Return the report for Slack and the shell: a line for each indicator, and what used most of its budget up."""
    found = [title(report)]
    for one in ordered(report):
        found.append(f"• {line(one)}")
        if one.budget.state != MET and one.incidents:
            found.append(f"  {_incident(one.incidents[0], one.budget)}")
    return [*found, credits_of(report)]


def title(report: Report) -> str:
    """Return whose month it is, and whether it is over."""
    return report.month.name if report.is_over else f"{report.month.name} until {_time(report.until)} UTC"


def line(one: Judged) -> str:
    """Return what became of an indicator in one line. Of what is not known enough, no share is told."""
    budget = one.budget
    aim = f"{one.name}: {budget.state}"
    if budget.state == UNKNOWN:
        why = one.why or f"{percent(budget.known, 1)} of the time is known, with {budget.total:,} events"
        return f"{aim}; {why}; {budget.bad:,} bad events are known"
    share, used = budget.good_share or Fraction(0), budget.used or Fraction(0)
    left = f"{percent(1 - used, 1)} of the budget is left" if used <= 1 else f"{float(used):,.2f} budgets were used up"
    wanted = percent(budget.objective.share)
    return f"{aim}; {percent(share, 4)} of {budget.total:,} events were good, {wanted} is aimed at; {left}"


def credits_of(report: Report) -> str:
    """Return what is given back."""
    credit, whole = report.credit
    if whole:
        return f"Credits: {percent(credit)} of the fee"
    missing = ", ".join(one.name for one in report.judged if one.budget.objective.tiers and one.credit is None)
    return f"Credits: not known, {percent(credit)} of the fee at least: too little is known of {missing}"


def as_json(report: Report) -> dict[str, Any]:
    """Return all figures. Shares are decimal fractions; what is not known is null."""
    credit, whole = report.credit
    return {
        "month": report.month.name,
        "zone": report.month.zone.key,
        "start": report.month.start.isoformat(),
        "until": report.until.isoformat(),
        "over": report.is_over,
        "credit": float(credit) if whole else None,
        "problems": report.problems,
        "indicators": [_as_json(one) for one in ordered(report)],
    }


def html(report: Report) -> str:
    """Return the page: what was missed comes first."""
    name = f"Objectives of {title(report)}"
    parts = [
        f"<h1>{escape(name)}</h1><p>{escape(credits_of(report))}</p>",
        *(f'<p class="bad">{escape(problem)}</p>' for problem in report.problems),
        *map(_section, ordered(report)),
        '<p><a href="slo.json">all figures</a></p>',
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(name)}</title><style>{STYLE}</style>'
        f"<body>{''.join(parts)}</body></html>"
    )


def _section(one: Judged) -> str:
    budget = one.budget
    rows = {
        "counted": MEANS[budget.objective.indicator],
        "aimed at, promised": f"{percent(budget.objective.share)}, {_promised(budget.objective)}",
        "events, bad ones": f"{budget.total:,}, {budget.bad:,}",
        "known": f"{percent(budget.known, 1)} of the time",
        "budget": f"{float(budget.allowed):,.1f} bad events",
        **dict(map(_burnt, one.burnt)),
        "credit": "not known" if one.credit is None and budget.objective.tiers else percent(one.credit or Fraction(0)),
    }
    table = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows.items())
    curve = plot("percent of the budget used up", [(end.isoformat(), float(used * 100)) for end, used in one.curve])
    return (
        f'<h2>{escape(one.name)}: <span class="{_CLASSES[budget.state]}">{budget.state}</span></h2>'
        f"<p>{escape(line(one))}</p><table>{table}</table>{curve}{''.join(_incidents(one))}"
    )


def _promised(objective: Objective) -> str:
    return percent(objective.promised) if objective.promised is not None else "nothing"


def _burnt(one: Burnt) -> tuple[str, str]:
    rate = one.rate
    name = f"burn rate, {_window(rate.long)} and {_window(rate.short)}"
    peak = "below five bad events in each" if one.peak is None else f"{float(one.peak):,.2f} at most"
    return name, f"{peak}; above {rate.rate:g} ({rate.name}, {rate.severity}) for {one.seconds // 60:,} min"


def _window(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"


def _incidents(one: Judged) -> Iterator[str]:
    if not one.budget.bad:
        return
    rest = one.budget.bad - sum(incident.bad for incident in one.incidents)
    shown = [_incident(incident, one.budget) for incident in one.incidents[:SHOWN]]
    if more := one.incidents[SHOWN:]:
        shown.append(f"{len(more)} more, with {sum(incident.bad for incident in more):,} bad events")
    if rest:
        shown.append(f"in the rest of the month, slower than the budget allows: {rest:,} bad events")
    yield f"<p>What used it up:</p><ul>{''.join(f'<li>{escape(text)}</li>' for text in shown)}</ul>"


def _incident(one: Incident, budget: Budget) -> str:
    begin = "before the month" if one.from_before else _time(one.start)
    end = f"{_time(one.end)} UTC{', where the month or what is known ends' if one.to_end else ''}"
    shares = f", {percent(one.of_bad, 1)} of all, {percent(one.of_budget, 1)} of the budget" if budget.is_known else ""
    return f"{begin} to {end}: {one.bad:,} bad events{shares}; at worst {percent(one.worst, 1)} were bad"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _as_json(one: Judged) -> dict[str, Any]:
    budget = one.budget
    return {
        "indicator": budget.objective.indicator,
        "subject": one.subject,
        "state": budget.state,
        "why": one.why,
        "objective": float(budget.objective.share),
        "promised": _float(budget.objective.promised),
        "events": budget.total,
        "bad": budget.bad,
        "known": float(budget.known),
        "good": _float(budget.good_share) if budget.is_known else None,
        "budget_left": float(1 - budget.used) if budget.is_known and budget.used is not None else None,
        "credit": _float(one.credit),
        "burn_rates": [
            {"alarm": burnt.rate.name, "peak": _float(burnt.peak), "seconds_above": burnt.seconds}
            for burnt in one.burnt
        ],
        "incidents": [_incident_json(incident) for incident in one.incidents],
        "used_by_day": [{"until": end.isoformat(), "used": float(used)} for end, used in one.curve],
    }


def _incident_json(one: Incident) -> dict[str, Any]:
    return {
        "start": one.start.isoformat(),
        "end": one.end.isoformat(),
        "bad": one.bad,
        "of_bad": float(one.of_bad),
        "of_budget": float(one.of_budget),
        "worst": float(one.worst),
        "from_before": one.from_before,
        "to_end": one.to_end,
    }


def _float(share: Fraction | None) -> float | None:
    return None if share is None else float(share)
