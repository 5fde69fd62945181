"""What Slack is told. One failure callback, at DAG level: it also fires when a task's process was killed."""

import json
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from search_ops.runbooks import runbook

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""Seconds that an alert waits for what OpenSearch says: when it is away, the alert is wanted most, and goes without."""


ADVICE_AT_ONCE = 4
"""Pieces of advice in one message, the most severe: of a longer one, Slack would not show the end."""

OBJECTIVES_AT_ONCE = 8
"""Lines about objectives in one message, what was missed first."""


class _Unknown(Exception):
    """OpenSearch did not say it in time."""


def run_failed(context: Any) -> None:
    """DAG-level ``on_failure_callback``: what failed, which index is staged, the log, the safe next step, the undo.

    Airflow kills it after 50 s and does not repeat it, so it waits for nothing longer than seconds.
    """
    from search_ops import slack

    # Without a task that Airflow still knows there is no more in the context than this.
    dag_run = context.get("dag_run") or SimpleNamespace(
        dag_id=context["dag"].dag_id, run_id=context["run_id"], conf=None
    )
    failed = _failed_tasks(dag_run, context)
    lines = _quality_failed(dag_run, failed) or [
        f":red_circle: *{dag_run.dag_id}* failed",
        f"*Run* {dag_run.run_id}",
        f"*Tasks* {failed or context.get('reason') or 'unknown'}",
        *_state_of_indexes(dag_run),
        f"*Log* {_link(dag_run)}",
        f"*Runbook* {runbook(dag_run.dag_id)}",
    ]
    slack.send(*lines, seconds=slack.seconds_of_callback())


def abandoned(dag_run: Any, indexes: dict[str, str]) -> None:
    """Indexes that were given up because they took no writes: there is no rollback to them any more."""
    lines = [f"• {name}: {why}" for name, why in indexes.items()]
    _send(
        f":warning: *{dag_run.dag_id}* abandoned {len(indexes)} index(es) that held up all writes",
        *lines,
        "*Rollback* to them is not possible any more; a reindex that was building one fails and discards it",
        "*Next* see GET /_cluster/allocation/explain; then run the reindex again",
        f"*Log* {_link(dag_run)}",
    )


def replay_needs_a_person(dag_run: Any, report: dict[str, Any]) -> None:
    """Messages that no further replay will mend, and changes that are lost until a comparison or reindex."""
    entity = dag_run.dag_id.removesuffix("_dlq_replay")
    lines = [f"• parked: {reason}: {why}"[:400] for reason, why in report["why_parked"].items()]
    lines += [f"• gap: {gap['records']} records of {gap['from']} to {gap['to']}" for gap in report["gaps"]]
    _send(
        f":warning: *{dag_run.dag_id}*: the dead-letter queue needs a person",
        *lines,
        "*Next* parked: correct the item or the mapping, then trigger with parked = true",
        f"*Next* gap: run {entity}_quality with repair, then once more: a comparison without findings closes it",
        f"*Log* {_link(dag_run)}",
        f"*Runbook* {runbook(dag_run.dag_id)}",
    )


def _quality_failed(dag_run: Any, failed: str) -> list[str]:
    """What does not hold, critical expectations first, and where the evidence is; nothing when the run failed else."""
    if not dag_run.dag_id.endswith("_quality") or failed != "announce" or not (result := _found_bad(dag_run)):
        return []
    lines = [f"• {problem}"[:300] for problem in [*result["failed"], *result["problems"]]]
    if result.get("kinds"):
        what = f"{result['index']} is not what its source is"
        then = "trigger again with repair = dry run, then on; or find the fault and reindex"
    else:
        what = f"{result['index']}: critical expectations do not hold"
        then = "remove the cause that the expectation names; the runbook has the steps"
    confirmed = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in result.get("kinds", {}).items())
    return [
        f":red_circle: *{dag_run.dag_id}*: {what}",
        *lines,
        f"*Confirmed* {confirmed or ('nothing' if 'kinds' in result else 'nothing was compared')}",
        f"*Evidence* {_evidence(dag_run)}",
        f"*Next* {then}",
        f"*Log* {_link(dag_run)}",
        f"*Runbook* {runbook(dag_run.dag_id)}",
    ]


def approval_wanted(dag_run: Any, subject: str, because: str) -> None:
    """A run waits for a person."""
    answer = f"{_link(dag_run)}/tasks/approve/required_actions"
    _send(f":raised_hand: *{dag_run.dag_id}* waits for you: {subject}", f"*Because* {because}", f"*Answer* {answer}")


def not_approved(dag_run: Any, subject: str, by: str | None, *, waited: timedelta) -> None:
    """Nothing was served, because a person said no, or nobody said anything.

    :param by: who said no; None when nobody answered
    """
    hours = waited.total_seconds() / 3600
    why = f"*Because* {by} said no" if by else f"*Because* nobody answered within {hours:g} hours, which counts as a no"
    _send(
        f":no_entry: *{dag_run.dag_id}* served nothing: {subject}",
        why,
        "*Live* what was live goes on serving; an index that the run built is deleted",
        "*Next* trigger a new run when it is wanted after all",
        f"*Log* {_link(dag_run)}",
    )


def rolled_back(dag_run: Any, entity: str, result: dict[str, Any]) -> None:
    """Another index is live."""
    _send(
        f":arrows_counterclockwise: *{entity}* is served from {result['index']} now, {result['documents']:,} documents",
        f"*Before* {result['previous']}, still written: index_rollback goes forward again",
        *([f"*Unproven* forced: {result['forced']}"] if result["forced"] else []),
        f"*Next* pause {entity}_reindex until the cause is found: it swaps forward",
        f"*Log* {_link(dag_run)}",
    )


def quality_recovered(dag_run: Any, result: dict[str, Any]) -> None:
    """What was wrong is not any more: said once."""
    _send(
        f":large_green_circle: *{dag_run.dag_id}*: {result['index']} is what its source is again ({result['level']} "
        f"check)",
        f"*Log* {_link(dag_run)}",
    )


def capacity(dag_run: Any, found: dict[str, Any]) -> None:
    """What to do about sizes, and what need not be done any more.

    :param found: ``told`` and ``over`` of ``CapacityReport.news``
    """
    lines = []
    told = sorted(found["told"], key=lambda one: str(one["severity"]))
    for one in told[:ADVICE_AT_ONCE]:
        lines.append(f"• {one['severity']} {one['text']}")
        if one["dag_id"]:
            lines.append(f"*Next* trigger {one['dag_id']} with {json.dumps(one['parameters'])}: {_dag(one['dag_id'])}")
    lines += [f"*And* {len(told) - ADVICE_AT_ONCE} more"] if len(told) > ADVICE_AT_ONCE else []
    lines += [f":large_green_circle: {about}: nothing needs to be done any more" for about in found["over"]]
    sign = ":straight_ruler:" if found["told"] else ":large_green_circle:"
    _send(
        f"{sign} *{dag_run.dag_id}*",
        *lines,
        f"*Evidence* {_evidence(dag_run)}",
        f"*Runbook* {runbook(dag_run.dag_id)}",
    )


def health(dag_run: Any, text: str, *, again: bool) -> bool:
    """What changed since the last look. Return whether Slack took it.

    :param again: whether it may have been sent before
    """
    from search_ops import slack

    lines = ["_sent again: the attempt before may have arrived_"] if again else []
    return slack.send(text, *lines, f"*Evidence* {_evidence(dag_run)}")


def objectives(dag_run: Any, lines: list[str], *, all_met: bool) -> None:
    """A month against its objectives.

    :param lines: the title, a line for each indicator with what was missed first, and the credits
    """
    title, *rest, given_back = lines
    more = [f"*And* {len(rest) - OBJECTIVES_AT_ONCE} more lines"] if len(rest) > OBJECTIVES_AT_ONCE else []
    _send(
        f"{':large_green_circle:' if all_met else ':warning:'} *{dag_run.dag_id}* {title}",
        *(line[:400] for line in rest[:OBJECTIVES_AT_ONCE]),
        *more,
        given_back[:400],
        f"*Evidence* {_evidence(dag_run)}",
        f"*Runbook* {runbook(dag_run.dag_id)}",
    )


def freshness_changed(dag_run: Any, changed: list[dict[str, Any]]) -> None:
    """Changes that searches do not show in time, and such that they show in time again: each is said once."""
    for one in changed:
        entity = one["entity"]
        lines = (
            [f":warning: *{entity}*: a change is not searchable in time", f"*Because* {one['why']}"]
            if one["news"] == "late"
            else [f":large_green_circle: *{entity}*: a change is searchable after {one['seconds']:.1f} s again"]
        )
        _send(*lines, f"*Log* {_link(dag_run)}", f"*Runbook* {runbook(dag_run.dag_id)}")


def judged(dag_run: Any, found: dict[str, Any]) -> None:
    """The verdict on a new version.

    :param found: the record, as ``searchsync.canary.run`` has it
    """
    signs = {"pass": ":large_green_circle:", "fail": ":red_circle:"}
    then = {"pass": "the deployment goes on", "fail": "the deployment takes the traffic back"}
    name = f"{found['entity']} {found['subject']}".strip()
    _send(
        f"{signs.get(found['verdict'], ':warning:')} *{name}*, version {found['canary']} at {found['share']} %: "
        f"{found['verdict']}",
        f"*Because* {found['why']}"[:1000],
        f"*Next* {then.get(found['verdict'], 'the deployment stops where it is: a person decides')}",
        f"*Evidence* {_evidence(dag_run)}",
        f"*Runbook* {runbook(dag_run.dag_id)}",
    )


def _look(ask: Callable[[Any], Any]) -> Any:
    """What ``ask`` returns for a client of OpenSearch.

    In a thread, because not all that may hang has a time-out: the name of the host, AWS' credentials.

    :raises _Unknown: when that takes longer than ``LOOK_SECONDS``, or fails
    """
    found: list[Any] = []
    errors: list[str] = []

    def look() -> None:
        from search_ops import hook
        from searchsync.deadline import Deadline

        try:
            deadline = Deadline.within(LOOK_SECONDS)
            found.append(ask(hook.opensearch(timeout=LOOK_SECONDS).until(deadline)))
        except Exception as error:
            errors.append(str(error))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(LOOK_SECONDS)
    if not found:
        raise _Unknown(*errors or [f"OpenSearch did not answer within {LOOK_SECONDS:.0f} s"])
    return found[0]


def _found_bad(dag_run: Any) -> dict[str, Any] | None:
    """What a quality run found, if that is what it failed for; it is kept where a killed task cannot take it along."""
    from search_ops.runs import run_id_of
    from searchsync.quality.history import BAD, History

    try:
        result = _look(lambda client: History(client).of_run(run_id_of(dag_run)))
    except _Unknown as error:  # then the run's failure is said as that of any other
        log.warning("cannot read what the run found: %s", error)
        return None
    return result if result and result["verdict"] == BAD else None


def _failed_tasks(dag_run: Any, context: Any) -> str:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    try:
        states = RuntimeTaskInstance.get_task_states(dag_id=dag_run.dag_id, run_ids=[dag_run.run_id])
    except Exception as error:  # an alert with the last task alone is better than none
        log.warning("cannot list the failed tasks: %s", error)
        return str(getattr(context.get("ti"), "task_id", ""))
    return ", ".join(sorted(name for name, state in states.get(dag_run.run_id, {}).items() if state == "failed"))


def _state_of_indexes(dag_run: Any) -> list[str]:
    from searchsync.catalog import CATALOG
    from searchsync.cluster.indexes import EntityIndexes

    rolling_back = dag_run.dag_id == "index_rollback"
    name = (dag_run.conf or {}).get("entity") if rolling_back else dag_run.dag_id.removesuffix("_reindex")
    entity = CATALOG.get(str(name))
    if entity is None:
        return ["*Next* read the log, remove the cause, then clear the failed task"]
    try:
        found = _look(lambda client: EntityIndexes(client, entity).all())
    except _Unknown as error:
        return [
            f"*Indexes* cannot be read: {error}",
            "*Next* restore OpenSearch, look at `searchsync indexes`, then clear the failed task with downstream",
        ]
    live = next((index.name for index in found if index.is_live), "none")
    if rolling_back:
        return [
            f"*Live* {live} of {entity.name}",
            "*Next* read the log of the failed task; clear that task alone, or trigger a new run",
            "*Undo* if it has swapped: trigger index_rollback again, it goes forward",
        ]
    mine = next((index for index in found if index.run_id == f"{dag_run.dag_id}/{dag_run.run_id}"), None)
    if mine is None:
        return [
            f"*Live* {live}; the new index was discarded",
            "*Next* remove the cause, then trigger a new run, or clear this one from `create_green` with downstream",
            "*Undo* nothing to undo: the live index was not touched",
        ]
    if mine.read:
        return [
            f"*Live* {live}, swapped in by this run",
            "*Next* read the log of the failed task and clear it: the swap itself is done",
            "*Undo* trigger index_rollback: the previous index is still written",
        ]
    return [
        f"*Live* {live}; *staged* {mine.name} ({mine.role})",
        "*Next* remove the cause, then trigger a new run: it discards what is staged",
        "*Undo* nothing to undo: the live index was not touched",
    ]


def _evidence(dag_run: Any) -> str:
    from search_ops.evidence import base_path, path_of

    return _base().removesuffix(base_path()) + path_of(dag_run.dag_id, dag_run.run_id, "summary.html")


def _link(dag_run: Any) -> str:
    from urllib.parse import quote

    return f"{_base()}/dags/{dag_run.dag_id}/runs/{quote(dag_run.run_id)}"


def _dag(dag_id: str) -> str:
    return f"{_base()}/dags/{dag_id}"


def _base() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _send(*lines: str) -> None:
    from search_ops import slack

    slack.send(*lines)
