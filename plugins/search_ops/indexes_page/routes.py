"""Where the page is, and who may see it."""

import json
from datetime import UTC, datetime

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Response, status

from search_ops.indexes_page import access, airflow_runs, assemble, questions, rendering

router = APIRouter()


@router.get("/indexes")
def indexes(user: GetUserDep, session: SessionDep) -> Response:
    """All entities of which a person may see the reindexes."""
    from searchsync.catalog import CATALOG

    known = list(CATALOG.values())
    seen = access.readable(user, assemble.dag_ids(known))
    entities = [entity for entity in known if f"{entity.name}_reindex" in seen]
    if not entities and not seen.intersection(assemble.OF_ALL):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden")
    dags = airflow_runs.dags(session, seen)
    may_start = access.startable(user, dags)
    checks = airflow_runs.last_ended(session, "cluster_health") if "cluster_health" in dags else None
    answers = questions.ask(entities, f"{checks.dag_id}/{checks.run_id}" if checks else "")
    now = datetime.now(UTC)
    views = assemble.entity_views(entities, answers, dags, session, now)
    shared = assemble.shared_view(answers, dags, checks, now)
    for view in views:
        view.steps = [step for step in view.steps if step.dag_id in may_start]
    shared.steps = [step for step in shared.steps if step.dag_id in may_start]
    return rendering.indexes(views=views, shared=shared, now=now)


@router.get("/indexes/start/{dag_id}", dependencies=[Depends(requires_access_dag("POST", DagAccessEntity.RUN))])
def start(dag_id: str, session: SessionDep, conf: str = "{}") -> Response:
    """The form that starts a run, with the values of a step filled in: Airflow 3.3 has no address for its own form."""
    try:
        values = json.loads(conf)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "conf is not a JSON object. Nothing was started")
    dag = airflow_runs.dags(session, [dag_id]).get(dag_id)
    if dag is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"Airflow has no DAG {dag_id}. Nothing was started")
    return rendering.start(dag=dag, conf=json.dumps(values, indent=2))
