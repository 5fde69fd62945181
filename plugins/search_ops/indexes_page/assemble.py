"""The page from what servers and Airflow answered."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from search_ops.evidence import path_of
from search_ops.indexes_page import airflow_runs, facts, next_steps
from search_ops.indexes_page.airflow_runs import Dag, Run
from search_ops.indexes_page.model import BAD, GOOD, WARN, Answers, EntityView, Fact, Row, SharedView
from search_ops.indexes_page.words import ago
from search_ops.runbooks import OPERATIONS

if TYPE_CHECKING:
    from searchsync.catalog import Entity
    from searchsync.cluster.figures import Seen

OF_ALL = (
    "cluster_health",
    "capacity",
    "freshness",
    "index_rollback",
    "index_retire",
    "index_snapshot",
    "recovery_drill",
    "preflight",
    "readiness",
    "slo_report",
)
"""DAGs that are about all entities."""


def dag_ids(entities: Iterable["Entity"]) -> list[str]:
    """Return the ids of all DAGs that the page knows, whether or not Airflow has them."""
    return [*(dag_id for entity in entities for dag_id in dags_of(entity)), *OF_ALL]


def dags_of(entity: "Entity") -> list[str]:
    """Return the ids of the DAGs that an entity may have of its own."""
    return [f"{entity.name}_{operation}" for operation in OPERATIONS]


def entity_views(
    entities: Sequence["Entity"],
    answers: Mapping[str, Any],
    dags: Mapping[str, Dag],
    session: Any,
    now: datetime,
) -> list[EntityView]:
    """Return what is known of each entity.

    :param answers: of ``questions.ask``
    :param dags: those that the person may see
    """
    seen = answers.get("indexes")
    seen = seen if isinstance(seen, dict) else {}
    builders = {one.index.run_id for indexes in seen.values() for one in indexes}
    runs = {name: run for name, run in airflow_runs.runs(session, builders).items() if run.dag_id in dags}
    views = [_entity_view(entity, Answers(answers), dags, runs, now) for entity in entities]
    for view in views:
        view.facts = [*_wrong(answers.get("checks"), view.entity.name), *view.facts]
    return views


def shared_view(answers: Mapping[str, Any], dags: Mapping[str, Dag], checks: Run | None, now: datetime) -> SharedView:
    """Return what is known beside the entities.

    :param checks: the run whose report is among the answers
    """
    kept = Answers(answers)
    view = SharedView([dags[dag_id] for dag_id in OF_ALL if dag_id in dags])
    if (report := kept.get("checks")) and checks:
        href = path_of(checks.dag_id, checks.run_id, "summary.html")
        counts = f"{report['bad']} wrong, {report['unknown']} unknown, {report['good']} well"
        tone = BAD if report["bad"] else WARN if report["unknown"] else GOOD
        looked = ago(datetime.fromisoformat(report["at"]), now)
        view.facts.append(Fact("Last look at everything", f"{counts}; {looked}", tone, href))
        view.facts += _wrong(report, "")
    if "index_snapshot" in dags and (recovery := kept.get("snapshots")):
        view.facts += facts.of_snapshots(recovery, now)
        view.steps += next_steps.of_snapshots(recovery)
    view.missing = kept.missing
    return view


def _wrong(report: Any, entity: str) -> list[Fact]:
    """Return what a report of ``cluster_health`` found wrong about an entity, or about none, the most urgent first.

    What is not known comes after it, each reason once: when a server is away, many looks at it fail alike.
    """
    found = [one for one in report["verdicts"] if one["entity"] == entity] if isinstance(report, dict) else []
    unknown: dict[str, list[str]] = {}
    for one in found:
        if one["state"] == "unknown":
            unknown.setdefault(one["seen"], []).append(one["alarm"])
    return [
        *(Fact(f"{one['severity']} {one['alarm']}", one["seen"], BAD) for one in found if one["state"] == "bad"),
        *(Fact("Not known", f"{', '.join(alarms)}: {reason}", WARN) for reason, alarms in unknown.items()),
    ]


def _entity_view(
    entity: "Entity", answers: Answers, dags: Mapping[str, Dag], runs: Mapping[str, Run], now: datetime
) -> EntityView:
    view = EntityView(entity)
    indexes = answers.get("indexes")
    view.rows = None if indexes is None else _rows(indexes[entity.name], answers, runs, now)
    results = answers.get("quality runs")
    view.results = None if results is None else results.get(entity.name, [])
    if entity.source == "dynamodb":
        view.freshness = answers.get(f"freshness of {entity.name}")
        view.queues = answers.get("queues") or answers.get(f"queues of {entity.name}")
    view.capacity = answers.get(f"capacity of {entity.name}")
    view.recovery = answers.get("snapshots")
    view.facts = facts.facts(view, now)
    view.dags = [dags[dag_id] for dag_id in dags_of(entity) if dag_id in dags]
    view.steps = next_steps.steps(view)
    view.missing = answers.missing
    return view


def _rows(seen: Sequence["Seen"], answers: Answers, runs: Mapping[str, Run], now: datetime) -> list[Row]:
    from searchsync.cluster.index import why_unwritable

    documents, shards, health, gaps = (answers.get(name) for name in ("documents", "sizes", "health", "gaps"))
    rows = []
    for one in seen:
        index, run = one.index, runs.get(one.index.run_id)
        status = None if health is None else health.get(index.name, "")
        dead = index.abandoned(_whether_under_way(run), now=now)
        rows.append(
            Row(
                name=index.name,
                role=index.role,
                created=index.created,
                synced=index.synced,
                left_live=index.left_read_at,
                source=index.meta.get("source") or {},
                documents=None if documents is None or status == "red" else documents.get(index.name, 0),
                shards=None if shards is None else shards.get(index.name, []),
                health=status,
                why_unwritable=why_unwritable(one.settings, status or ""),
                gaps=None if gaps is None else gaps.get(index.name, []),
                run=run,
                is_left_over=dead or index.role == "retiring",
            )
        )
    return sorted(rows, key=lambda row: (row.role == "live", row.created), reverse=True)


def _whether_under_way(run: Run | None) -> Any:
    return lambda _: run.is_under_way if run else None
