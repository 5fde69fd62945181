"""Looks at the checkout: the pipeline, the runbooks, the plan for incidents."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from searchsync import alarms
from searchsync.catalog import include_dir
from searchsync.preflight.checks import Finding
from searchsync.preflight.target import Target

WORKFLOWS: Final = ("test.yaml", "deploy.yaml", "environment.yaml")


def _root() -> Path:
    return include_dir().parent


def _workflows(target: Target) -> Finding:  # noqa: ARG001 - as all checks
    folder, problems = _root() / ".github" / "workflows", []
    jobs: dict[str, Any] = {}
    for name in WORKFLOWS:
        found = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        jobs[name] = (found or {}).get("jobs") or {}
        problems += [] if jobs[name] else [f"{name} has no job"]
    tests = {name for name, job in jobs["deploy.yaml"].items() if str(job.get("uses", "")).endswith("/test.yaml")}
    build = jobs["deploy.yaml"].get("build", {}).get("needs", [])
    if not tests & {*([build] if isinstance(build, str) else build)}:
        problems.append("deploy.yaml builds what was not tested")
    return Finding(", ".join(WORKFLOWS), problems)


def _runbooks(target: Target) -> Finding:
    pages: dict[str, str] = {}
    problems = []
    rows = dict(alarms.table())
    for entity in target.entities.values():
        rows |= alarms.table(entity)
    for name, row in sorted(rows.items()):
        path, _, anchor = row.runbook.partition("#")
        if path not in pages:
            pages[path] = (_root() / path).read_text(encoding="utf-8")
        if not re.search(rf"^### {re.escape(anchor)}$", pages[path], re.MULTILINE):
            problems.append(f"{path} says nothing of {name}")
    return Finding(f"{len(rows)} alarms", problems)


def _incident_plan(target: Target) -> Finding:  # noqa: ARG001 - as all checks
    text = (_root() / "docs" / "operations" / "incident.md").read_text(encoding="utf-8")
    told = {row.severity for row in alarms.table().values() if row.severity} | {
        severity for severity, _ in alarms.together().values()
    }
    missing = sorted(severity for severity in told if not re.search(rf"^\| {severity} \|", text, re.MULTILINE))
    return Finding(", ".join(sorted(told)), [f"incident.md says nothing of {severity}" for severity in missing])


CHECKS: Final[Mapping[str, Callable[[Target], Finding]]] = {
    "workflows": _workflows,
    "runbooks": _runbooks,
    "incident plan": _incident_plan,
}
