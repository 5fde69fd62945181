"""One look at everything."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

from searchsync.catalog import CATALOG
from searchsync.connections import Connections
from searchsync.errors import SearchSyncError
from searchsync.health import airflow, cluster, entities, recovery, silences
from searchsync.health.airflow import Api, DagSeen
from searchsync.health.gather import gather
from searchsync.health.maintenance import Window
from searchsync.health.memory import Memory
from searchsync.health.reading import Look
from searchsync.health.verdict import State, Verdict, judge

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Airflow:
    """Airflow, which is asked for its own health.

    :ivar dags: by id: what it knows of a DAG that has a schedule, or why it did not say
    """

    api: Api
    dags: Mapping[str, DagSeen | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Health:
    """What a look showed.

    :ivar at: when it was over
    :ivar paused: since when each paused DAG is known to be paused (ISO 8601)
    :ivar failed: by DAG: its scheduled runs that failed since the look before
    :ivar searches: counters of searches, by node, for the next look
    :ivar hot_threads: what the threads of OpenSearch were busy with; empty when it was not slow
    """

    at: datetime
    seconds: float
    verdicts: Sequence[Verdict]
    paused: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    searches: Mapping[str, Sequence[float]] = field(default_factory=dict)
    hot_threads: str = ""

    def of(self, state: State) -> list[Verdict]:
        """Return the verdicts of a state."""
        return [verdict for verdict in self.verdicts if verdict.state is state]


def look(
    connections: Connections,
    airflow_: Airflow | None,
    remembered: Memory,
    windows: Mapping[str, Window],
) -> Health:
    """Look at everything, and change nothing.

    :param airflow_: None where there is none to ask
    :param remembered: what the looks before left
    """
    began = time.monotonic()
    # A client for each connection and service: to make one takes longer than to ask it. All of them take threads.
    shared = replace(connections, opensearch=cache(connections.opensearch), aws=cache(connections.aws))
    searches = cluster.Searches(remembered.searches)
    readings = gather([*_looks(shared, airflow_, searches)])
    now = datetime.now(UTC)
    dags = airflow_.dags if airflow_ else {}
    paused = _paused(dags, remembered.paused, now)
    verdicts = judge([*readings, *silences.readings(remembered, windows, paused, now)])
    slow = any(one.state is State.BAD and one.alarm in cluster.SLOW for one in verdicts)
    return Health(
        now,
        round(time.monotonic() - began, 2),
        verdicts,
        paused,
        _failed(dags, remembered.at),
        searches.now or remembered.searches,
        _hot_threads(shared) if slow else "",
    )


def _looks(connections: Connections, airflow_: Airflow | None, searches: cluster.Searches) -> Iterator[Look]:
    yield from cluster.looks(connections.opensearch, searches)
    yield from recovery.looks(connections.opensearch)
    yield from entities.looks(connections, CATALOG)
    if airflow_ is not None:
        yield from airflow.looks(airflow_.api, airflow_.dags)


def _paused(dags: Mapping[str, DagSeen | str], before: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return since when each DAG is known to be paused. One that could not be looked at stays as it was."""
    return {
        dag_id: before.get(dag_id, now.isoformat())
        for dag_id, dag in dags.items()
        if (dag_id in before if isinstance(dag, str) else dag.paused)
    }


def _failed(dags: Mapping[str, DagSeen | str], before: str) -> dict[str, int]:
    """Count the runs that failed since the look before; before the first look, none counts as new."""
    last = datetime.fromisoformat(before) if before else datetime.now(UTC)
    return {
        dag_id: sum(moment > last for moment in dag.failed) for dag_id, dag in dags.items() if not isinstance(dag, str)
    }


def _hot_threads(connections: Connections) -> str:
    try:
        return cluster.hot_threads(connections.opensearch())
    except SearchSyncError as error:
        log.warning("cannot read what the threads are busy with: %s", error)
        return f"OpenSearch did not say: {error}"
