"""One quality run: figures, comparison, expectations, evidence, and a repair if asked for.

A light run looks at figures that cost next to nothing. A full one also compares the whole index with its source. It
does not compare while the index is behind the stream: then the lag is the problem, and not each document to come.
"""

import json
import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.compare import differences, repair
from searchsync.compare.differences import DiffReport, Effort
from searchsync.errors import SearchSyncError, StreamBehind
from searchsync.quality import expectations, health
from searchsync.quality.expectations import Evaluation
from searchsync.quality.health import COMPARED, LAG, Feed
from searchsync.quality.history import BAD, FULL, GOOD, LIGHT, WARNING, History, Result, recovered
from searchsync.quality.report import html
from searchsync.sources.base import Source
from searchsync.telemetry import metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a run is to do.

    :ivar run: name of the run, ``<dag id>/<run id>``
    :ivar level: ``light`` or ``full``
    :ivar sample: documents compared field by field
    :ivar repair: ``off``, ``dry run`` or ``on``
    :ivar cap: keys that a repair may write; None for the policy's share
    """

    run: str
    level: str = FULL
    sample: int = 100
    repair: str = "off"
    cap: int | None = None


def run(indexes: EntityIndexes, source: Source, name: str, feed: Feed | None, folder: Path, wanted: Wanted) -> Result:
    """Look at one index, and write ``quality.json``, ``summary.html`` and the Data Docs before anything is changed.

    What an earlier attempt of the run found bad stays in the result and in its files.

    :returns: the result as ``quality.history`` keeps it, with ``repair``, the ``failed`` expectations in full, and
        whether the entity ``recovered`` from an earlier failure
    """
    entity = source.entity
    index = indexes.get(name)
    figures = health.figures(indexes, index, feed)
    report, problems = None, []
    if wanted.level == FULL and all(figure.good for figure in figures if figure.name == LAG):
        try:
            report = _compare(indexes, source, index, feed, wanted)
        except StreamBehind as error:
            figures, problems = health.figures(indexes, index, feed), [str(error)]
    if report is not None:  # it has just been compared
        figures = [replace(figure, value=0.0) if figure.name == COMPARED else figure for figure in figures]
    problems += [figure.problem for figure in figures if not figure.good]
    operations = {figure.name: float(figure.value) for figure in figures}
    if feed is not None and (difference := health.count_difference(feed.source, index)) is not None:
        operations["count_difference"] = difference
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = expectations.evaluate(source, operations, report, folder)
    result = _result(entity.name, index, wanted, operations, report, evaluation) | {"problems": problems}
    history = History(indexes.client)
    before = history.latest(entity)
    evidence = _of_earlier_attempt(folder, report) or {
        "comparison": report.as_dict() if report else None,
        "expectations": evaluation.as_dict(),
        "repair": None,
    }
    evidence["result"] = history.keep(result)
    _write(folder, evidence, before)
    if report is not None and index.is_live:  # nobody searches another one, which may lack everything
        metrics.emit("Differences", len(report.findings), entity=entity.name, index=index.name)
    if report is not None and report.findings and wanted.repair != "off":
        evidence["repair"] = _repair(indexes, source, report, wanted)
        failed = evidence["repair"].get("failed")
        problems = [*problems, f"the repair failed: {failed}"] if failed else problems
        repaired = {"repaired": evidence["repair"].get("written", 0), "problems": problems}
        evidence["result"] = history.keep(result | repaired)
        _write(folder, evidence, before)
    return _with_details(evidence, before)


def _compare(
    indexes: EntityIndexes, source: Source, index: PhysicalIndex, feed: Feed | None, wanted: Wanted
) -> DiffReport:
    behind = (lambda: feed.behind(indexes, index.name)) if feed is not None else None
    since = index.synced if source.entity.changed else None
    return differences.find(index, source, since=since, behind=behind, effort=Effort(sample=wanted.sample))


def _repair(indexes: EntityIndexes, source: Source, report: DiffReport, wanted: Wanted) -> dict[str, Any]:
    """Return what a repair did, or why it ``failed``: what was found is kept all the same."""
    dry_run = wanted.repair == "dry run"
    try:
        return asdict(repair.repair(indexes, source, report, dry_run=dry_run, cap=wanted.cap))
    except SearchSyncError as error:
        log.error("%s: the repair failed: %s", report.index, error)
        return {"dry_run": dry_run, "failed": str(error)}


def _of_earlier_attempt(folder: Path, report: DiffReport | None) -> dict[str, Any] | None:
    """Return the evidence of an earlier, bad attempt of the same run, unless only this one has compared something."""
    file = folder / "quality.json"
    if not file.exists():
        return None
    evidence: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    stays = evidence["result"]["verdict"] == BAD and (evidence["comparison"] or report is None)
    return evidence if stays else None


def _with_details(evidence: dict[str, Any], before: list[Result]) -> Result:
    """Return the result for tasks and alerts."""
    result = evidence["result"]
    failed = [{**one, "holds": False} for one in evidence["expectations"]["results"] if one["name"] in result["failed"]]
    return {
        **result,
        "failed": sorted(failed, key=lambda one: str(one["severity"])),
        "repair": evidence["repair"],
        "recovered": result["live"] and recovered(result, before),
    }


def _result(
    entity: str,
    index: PhysicalIndex,
    wanted: Wanted,
    operations: dict[str, float],
    report: DiffReport | None,
    evaluation: Evaluation,
) -> Result:
    severities = {failed.severity for failed in evaluation.failed}
    # Asked for a comparison, a run that made none has not seen anything good.
    bad = "critical" in severities or (wanted.level == FULL and report is None)
    result: Result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "entity": entity,
        "index": index.name,
        "live": index.is_live,
        "run": wanted.run,
        "level": FULL if report is not None else LIGHT,
        "verdict": BAD if bad else WARNING if severities else GOOD,
        "failed": [failed.name for failed in evaluation.failed],
        "operations": operations,
    }
    if report is not None:
        result |= {
            "source_documents": report.source_count,
            "index_documents": report.index_count,
            "confirmed": len(report.findings),
            "kinds": {kind.replace(" ", "_"): count for kind, count in report.kinds.items()},
            "not_looked_at": report.not_looked_at,
            "unusable": report.unusable,
            "left_out": sum(report.dropped.values()),
            "pending": report.pending,
            "moving": report.moving,
            "repaired": 0,
            "seconds": report.seconds,
        }
    return result


def _write(folder: Path, evidence: dict[str, Any], before: list[Result]) -> None:
    whole = folder / "quality.json.new"  # a worker that is killed here must not leave half a file to the next attempt
    whole.write_text(json.dumps(evidence, indent=2), encoding="utf-8")
    whole.replace(folder / "quality.json")
    (folder / "summary.html").write_text(html(evidence, before), encoding="utf-8")
