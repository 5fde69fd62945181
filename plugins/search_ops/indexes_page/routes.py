"""Where the page is, and who may see it."""

from datetime import UTC, datetime

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Response, status

from search_ops.indexes_page import access, airflow_runs, assemble, questions, rendering

router = APIRouter()


@router.get("/indexes")
def indexes(user: GetUserDep, session: SessionDep) -> Response:
    """All entities of which a person may see the reindexes."""
    from searchsync.catalog import CATALOG

    known = list(CATALOG.values())
    seen = access.readable(user, assemble.dag_ids(known))
    entities = [entity for entity in known if f"{entity.name}_reindex" in seen]
    if not seen:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden")
    dags = airflow_runs.dags(session, seen)
    may_start = access.startable(user, dags)
    now = datetime.now(UTC)
    answers = questions.ask(entities)
    views = assemble.entity_views(entities, answers, dags, session, now)
    for view in views:
        view.steps = [step for step in view.steps if step.dag_id in may_start]
    shared = [dags[dag_id] for dag_id in assemble.OF_ALL if dag_id in dags]
    return rendering.page("indexes.html", script="theme.js", views=views, shared=shared, now=now)
