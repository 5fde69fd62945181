"""Tasks of ``<entity>_quality``: compare, expect, repair, and only then say whether it is good."""

import json
import logging
from pathlib import Path
from typing import Any

from airflow.sdk import Param, task

from search_ops import alerts, hook
from search_ops.runs import build_of, check_conf, reports_dir

log = logging.getLogger(__name__)

PARAMS = {
    "index": Param(
        None, type=["null", "string"], title="Index",
        description="An index of the write set, such as a rollback candidate. Empty: the live one.",
    ),
    "sample": Param(
        100, type="integer", minimum=0, maximum=10_000, title="Sample",
        description="Documents that are compared field by field.",
    ),
    "repair": Param(
        "off", type="string", enum=["off", "dry run", "on"], title="Repair",
        description="Write the confirmed keys as the source has them now, into every index of the write set.",
    ),
    "cap": Param(
        None, type=["null", "integer"], minimum=1, title="Repair at most",
        description="Keys that a repair may write. Empty: as thresholds.yaml has it (one in a hundred).",
    ),
}  # fmt: skip


@task
def compare(entity: str, *, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Prove where index and source differ, validate the expectations, write the evidence, repair if asked to."""
    from dataclasses import asdict

    from searchsync import differences, indexes, quality
    from searchsync.entities import entity as lookup
    from searchsync.errors import EmptyWriteSet

    check_conf(dag_run.conf, PARAMS)
    client, described = hook.opensearch(), lookup(entity)
    name = params["index"] or indexes.live(client, described)
    if name is None:
        raise EmptyWriteSet(f"{entity}: nothing is live yet; run {entity}_reindex first")
    served = indexes.served(client, described, name)
    source = hook.source(described, served)
    folder = reports_dir(build_of(dag_run))
    folder.mkdir(parents=True, exist_ok=True)
    since = served.synced if described.changed else None
    report = differences.find(client, source, name, sample=params["sample"], since=since)
    evaluation = quality.evaluate(source, report, folder)
    evidence: dict[str, Any] = {"comparison": report.as_dict(), "expectations": evaluation.as_dict(), "repair": None}
    _write(folder, evidence)
    if params["repair"] != "off" and report.findings:
        done = differences.repair(client, source, report, dry_run=params["repair"] == "dry run", cap=params["cap"])
        evidence["repair"] = asdict(done)
        _write(folder, evidence)
    log.info("Data Docs: %s", evaluation.docs)
    return {
        "index": name,
        "documents": report.source_count,
        "kinds": report.kinds,
        "pending": report.pending,
        "unsettled": report.unsettled,
        "failed": [asdict(result) for result in evaluation.failed],
        "repair": evidence["repair"],
        "seconds": report.seconds,
        "evidence": str(folder),
    }


@task
def announce(result: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """The verdict: the run fails when a critical expectation does not hold; the evidence is there by now."""
    from searchsync.errors import Different

    for failed in result["failed"]:
        log.error("%(severity)s: does not hold: %(name)s (%(observed)s)", failed)
    if any(failed["severity"] == "critical" for failed in result["failed"]):
        alerts.quality_failed(dag_run, result)
        raise Different(f"{result['index']}: {result['kinds']}; the evidence is in {result['evidence']}")
    return result


def _write(folder: Path, evidence: dict[str, Any]) -> None:
    (folder / "quality.json").write_text(json.dumps(evidence, indent=2), encoding="utf-8")
