"""What an operator may do next: only what makes sense now, each with the values that its DAG needs."""

from collections.abc import Iterator
from typing import Any

from search_ops.indexes_page.model import EntityView, Row, Step


def steps(view: EntityView) -> list[Step]:
    """Return the steps for an entity, the most pressing first, whether or not their DAGs are there.

    Those of the entity's own DAGs that are at work are left out.
    """
    if view.rows is None:  # OpenSearch does not answer: nothing can be said
        return []
    pressing = [*_of_differences(view), *_of_queues(view), *_of_capacity(view), *_of_rows(view)]
    at_work = {dag.dag_id for dag in view.dags if dag.last and dag.last.is_under_way}
    return [step for step in (*pressing, *_of_drills(view), *_always(view)) if step.dag_id not in at_work]


def of_snapshots(recovery: dict[str, Any]) -> list[Step]:
    """Return the steps that what ``searchsync.recovery.summary`` says makes wanted."""
    last = recovery["last_snapshot"]
    if last and last["state"] != "bad":
        return []
    return [Step("Make a snapshot", "the last one failed" if last else "there is none yet", "index_snapshot")]


def _of_differences(view: EntityView) -> Iterator[Step]:
    name, compared = view.entity.name, view.compared
    if compared and compared["verdict"] == "bad" and compared.get("kinds"):
        count = compared["confirmed"]
        conf = {"level": "full", "repair": "dry run"}
        because = f"{count:,} documents differed at the last comparison; when the count is right, again with repair on"
        yield Step("Count what a repair would write", because, f"{name}_quality", conf)
    if view.live and view.live.gaps:
        because = f"{view.live.name} may lack changes; a comparison without findings closes the gap"
        yield Step("Compare and repair the live index", because, f"{name}_quality", {"level": "full", "repair": "on"})


def _of_queues(view: EntityView) -> Iterator[Step]:
    dag_id = f"{view.entity.name}_dlq_replay"
    if view.queues and view.queues.waiting:
        yield Step("Replay the dead-letter queue", f"{view.queues.waiting:,} messages wait", dag_id)
    if view.queues and view.queues.parked:
        because = f"{view.queues.parked:,} messages wait for a person; remove their cause first"
        yield Step("Look through the parked messages", because, dag_id, {"parked": True, "dry_run": True})


def _of_capacity(view: EntityView) -> Iterator[Step]:
    for advice in view.capacity.advice if view.capacity else []:
        if advice["dag_id"]:
            yield Step("Follow the advice on capacity", advice["text"], advice["dag_id"], advice["parameters"])


def _of_rows(view: EntityView) -> Iterator[Step]:
    name = view.entity.name
    for row in view.rows or []:
        if row.role != "rollback candidate":
            continue
        if row.why_unwritable:
            continue  # nothing can be brought to it: it is evicted, or somebody removes the cause
        if row.gaps:
            because = "it may lack changes, and cannot be live before they are brought"
            yield Step(
                f"Compare and repair {row.name}",
                because,
                f"{name}_quality",
                {"index": row.name, "level": "full", "repair": "on"},
            )
        elif view.live and _of_one_source(row, view.live):
            because = "it is proven and brought up to date before it is live; a person is asked"
            yield Step(f"Roll back to {row.name}", because, "index_rollback", {"entity": name, "index": row.name})
    if left := [row.name for row in view.rows or [] if row.is_left_over]:
        because = f"{', '.join(left)}: nobody needs {'it' if len(left) == 1 else 'them'} any more"
        yield Step("Show what would be deleted", because, "index_retire", {"dry_run": True})


def _of_drills(view: EntityView) -> Iterator[Step]:
    recovery, name = view.recovery or {}, view.entity.name
    drill = recovery.get("drills", {}).get(name)
    if recovery.get("snapshot") and (drill is None or drill["state"] != "good"):
        because = "its last drill failed" if drill else "nobody has tried yet whether its snapshots can be used"
        yield Step("Try its recovery from a snapshot", because, "recovery_drill", {"entity": name})


def _always(view: EntityView) -> Iterator[Step]:
    because = "it replaces the live index, without a gap in service" if view.live else "nothing is live"
    yield Step("Build the index anew", because, f"{view.entity.name}_reindex")


def _of_one_source(row: Row, live: Row) -> bool:
    """Whether both got the changes of one source (docs/protocol.md, Position); no other is made live."""
    return row.source == live.source
