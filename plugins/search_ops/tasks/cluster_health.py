"""Tasks of ``cluster_health``: look at everything, then tell what changed.

What was told is kept in Airflow's store for the state of assets, because it has to be right for whatever run comes
next: a run that a person triggers has no logical date, and so no previous run; a run that is cleared would compare with
what was told before it; and OpenSearch, which has our bookkeeping, may be what is away. Only ``tell`` writes it.
"""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, task

from search_ops import alerts, hook
from search_ops.evidence import task_with_evidence
from search_ops.runs import check_conf, reports_dir, run_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from searchsync.health.maintenance import Window
    from searchsync.health.memory import Memory

log = logging.getLogger(__name__)

MEMORY = Asset("cluster_health")
KEY = "memory"

MOST_UNSENT = 50
"""Messages that wait for Slack at most. Older ones are dropped; the reports of the runs have what they said."""


@task_with_evidence(inlets=[MEMORY])
def look(*, dag_run: Any, asset_state_store: Any) -> dict[str, Any]:
    """Look at everything; write the evidence; hand on what is not well."""
    from dataclasses import asdict

    from search_ops import airflow_health
    from searchsync.health import metrics, report, run
    from searchsync.health.memory import Memory
    from searchsync.health.verdict import State

    check_conf(dag_run.conf, {})
    remembered = Memory.read(asset_state_store[MEMORY].get(KEY))
    windows, _ = _windows()
    health = run.look(hook.connections(), airflow_health.airflow(), remembered, windows)
    folder = reports_dir(run_id_of(dag_run))
    report.write(health, folder)
    metrics.of_look(health)
    wrong = [asdict(one) for one in report.ordered(health) if one.state is not State.GOOD]
    for one in wrong:
        log.warning("%(state)s: %(severity)s %(alarm)s %(subject)s: %(seen)s", one)
    return {
        "at": health.at.isoformat(),
        "good": len(health.of(State.GOOD)),
        "wrong": wrong,
        "paused": dict(health.paused),
        "searches": dict(health.searches),
        "evidence": str(folder),
    }


@task(inlets=[MEMORY])
def tell(looked: dict[str, Any], *, dag_run: Any, asset_state_store: Any) -> list[str]:
    """Tell what changed. Return the messages.

    They are kept together with what is remembered, and sent after that: a task that is killed in between has lost
    nothing, and its next attempt, or the next run, sends them. One that is killed after Slack took a message, and
    before that is noted, is the only one whose message is sent twice; it says so.
    """
    from datetime import datetime

    from searchsync.health import metrics, news
    from searchsync.health.memory import Memory
    from searchsync.health.verdict import State, Verdict

    store = asset_state_store[MEMORY]
    memory, at = Memory.read(store.get(KEY)), datetime.fromisoformat(looked["at"])
    waiting = [*memory.unsent]
    if memory.at and at <= datetime.fromisoformat(memory.at):
        log.info("what was seen at %s is told already: only what was not sent is sent now", at)
        messages: list[str] = []
    else:
        windows, problem = _windows()
        verdicts = [Verdict(**one | {"state": State(one["state"])}) for one in looked["wrong"]]
        memory, messages = news.advance(memory, verdicts, windows, at)
        memory.paused, memory.searches = looked["paused"], looked["searches"]
        messages += _refused(memory, problem)
        memory.unsent = [*waiting, *messages][-MOST_UNSENT:]
        store.set(KEY, memory.as_json())
        metrics.of_memory(memory, windows, at)
    _send(memory, store, dag_run, again=len(waiting))
    return messages


def _send(memory: "Memory", store: Any, dag_run: Any, *, again: int) -> None:
    """Send what was not sent, the oldest first, and note each one that Slack took.

    :param again: how many of them an earlier attempt or run may have sent already
    """
    for number, text in enumerate([*memory.unsent]):
        if not alerts.health(dag_run, text, again=number < again):
            return  # the next run sends the rest
        memory.unsent = memory.unsent[1:]
        store.set(KEY, memory.as_json())


def _windows() -> "tuple[Mapping[str, Window], str]":
    """Return the windows that are heeded, and why the file is refused: then none is, and everything is told."""
    from searchsync.errors import BadParams
    from searchsync.health import maintenance

    try:
        return maintenance.windows(), ""
    except BadParams as error:
        log.error("%s. No window is heeded", error)
        return {}, str(error)


def _refused(memory: "Memory", problem: str) -> list[str]:
    """Return the message that the file of windows is refused; nothing when that was said before."""
    said, memory.refused = memory.refused, problem
    if not problem or problem == said:
        return []
    return [f":warning: *cluster_health* heeds no maintenance window, because the file is wrong: {problem}"]
