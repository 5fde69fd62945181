"""What Airflow knows of our DAGs: the last run of each, whether it is paused, when it runs next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from sqlalchemy import func, select, tuple_

UNDER_WAY = ("queued", "running")


@dataclass(frozen=True)
class Run:
    """One run. ``state`` is Airflow's: queued, running, success, failed."""

    dag_id: str
    run_id: str
    state: str
    asked: datetime
    began: datetime | None
    ended: datetime | None

    @property
    def is_under_way(self) -> bool:
        """Whether it waits or works."""
        return self.state in UNDER_WAY


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow has.

    :ivar next: when its schedule runs it next; None when it has none, or is paused
    :ivar last: its latest run; None when there was none
    """

    dag_id: str
    is_paused: bool
    next: datetime | None
    last: Run | None


def dags(session: Any, dag_ids: Iterable[str]) -> dict[str, Dag]:
    """Return those of some DAGs that Airflow has now, by two queries."""
    wanted = sorted(dag_ids)
    columns = (DagModel.dag_id, DagModel.is_paused, DagModel.next_dagrun_create_after)
    known = session.execute(select(*columns).where(DagModel.dag_id.in_(wanted), DagModel.is_stale.is_(False)))
    latest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(wanted)).group_by(DagRun.dag_id)
    last = {run.dag_id: run for run in _runs(session, DagRun.id.in_(latest))}
    return {
        dag_id: Dag(dag_id, paused, None if paused else following, last.get(dag_id))
        for dag_id, paused, following in known
    }


def last_ended(session: Any, dag_id: str) -> Run | None:
    """Return the latest run of a DAG that has ended; None when none has."""
    latest = select(func.max(DagRun.id)).where(DagRun.dag_id == dag_id, DagRun.end_date.is_not(None))
    return next(iter(_runs(session, DagRun.id == latest.scalar_subquery())), None)


def runs(session: Any, run_ids: Iterable[str]) -> dict[str, Run]:
    """Return the runs that Airflow knows, by their names in ``search_ops.runs``: ``<dag id>/<run id>``."""
    wanted = [(dag_id, run) for dag_id, _, run in (run_id.partition("/") for run_id in run_ids)]
    if not wanted:
        return {}
    return {
        f"{run.dag_id}/{run.run_id}": run for run in _runs(session, tuple_(DagRun.dag_id, DagRun.run_id).in_(wanted))
    }


def _runs(session: Any, which: Any) -> list[Run]:
    columns = (DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.run_after, DagRun.start_date, DagRun.end_date)
    return [Run(*row) for row in session.execute(select(*columns).where(which))]
