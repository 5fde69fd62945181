"""One quality run: figures, comparison, expectations, evidence, and a repair if asked for.

A light run looks at figures that cost next to nothing. A full one compares the whole index with its source, unless the
index is behind the stream: then that is what is wrong, and not each document that is still to come.
"""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import opensearchpy

from searchsync import differences, expectations, freshness, history, indexes, summary
from searchsync.differences import Report
from searchsync.expectations import Evaluation
from searchsync.freshness import LAG, Feed
from searchsync.history import BAD, FULL, GOOD, LIGHT, WARNING, Result
from searchsync.sources import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a run is to do.

    :ivar run: its name, ``<dag id>/<run id>``
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


def run(
    client: opensearchpy.OpenSearch, source: Source, name: str, feed: Feed | None, folder: Path, wanted: Wanted
) -> Result:
    """Look at one index, and write ``quality.json``, ``summary.html`` and the Data Docs before anything is changed.

    :returns: the result as ``searchsync.history`` keeps it, with ``repair``, the ``failed`` expectations in full, and
        whether the entity ``recovered`` from an earlier failure
    """
    entity = source.entity
    index = indexes.get(client, entity, name)
    figures = freshness.figures(client, entity, index, feed)
    problems = [figure.problem for figure in figures if not figure.good]
    operations = {figure.name: float(figure.value) for figure in figures}
    if feed is not None:
        operations["count_difference"] = freshness.count_difference(client, feed.source, name)
    report = None
    if wanted.level == FULL and all(figure.good for figure in figures if figure.name == LAG):
        since = index.synced if entity.changed else None
        behind = (lambda: feed.behind(client, name).seconds) if feed is not None else None
        report = differences.find(client, source, name, sample=wanted.sample, since=since, behind=behind)
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = expectations.evaluate(source, operations, report, folder)
    result = _result(entity.name, index, wanted, operations, report, evaluation) | {"problems": problems}
    before = history.latest(client, entity)
    evidence = {
        "result": result,
        "comparison": report.as_dict() if report else None,
        "expectations": evaluation.as_dict(),
        "repair": None,
    }
    _write(folder, evidence, before)
    history.keep(client, result)
    repaired = None
    if report is not None and report.findings and wanted.repair != "off":
        dry_run = wanted.repair == "dry run"
        repaired = differences.repair(client, source, report, dry_run=dry_run, cap=wanted.cap)
        result["repaired"] = repaired.written
        evidence["repair"] = asdict(repaired)
        _write(folder, evidence, before)
        history.keep(client, result)
    return result | {
        "failed": [asdict(failed) for failed in evaluation.failed],
        "repair": asdict(repaired) if repaired else None,
        "recovered": index.read and history.recovered(result, before),
    }


def _result(
    entity: str,
    index: indexes.Index,
    wanted: Wanted,
    operations: dict[str, float],
    report: Report | None,
    evaluation: Evaluation,
) -> Result:
    severities = {failed.severity for failed in evaluation.failed}
    result: Result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "entity": entity,
        "index": index.name,
        "live": index.read,
        "run": wanted.run,
        "level": FULL if report is not None else LIGHT,
        "verdict": BAD if "critical" in severities else WARNING if severities else GOOD,
        "failed": [failed.name for failed in evaluation.failed],
        "operations": operations,
    }
    if report is not None:
        result |= {
            "source_documents": report.source_count,
            "index_documents": report.index_count,
            "confirmed": len(report.findings),
            "kinds": {kind.replace(" ", "_"): count for kind, count in report.kinds.items()},
            "pending": report.pending,
            "unsettled": report.unsettled,
            "repaired": 0,
            "seconds": report.seconds,
        }
    return result


def _write(folder: Path, evidence: dict[str, Any], before: list[Result]) -> None:
    (folder / "quality.json").write_text(json.dumps(evidence, indent=2), encoding="utf-8")
    (folder / "summary.html").write_text(summary.html(evidence, before), encoding="utf-8")
