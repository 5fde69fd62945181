"""What a person may see and start, as Airflow's own pages decide it: by each DAG."""

from collections.abc import Iterable
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel


def readable(user: Any, dag_ids: Iterable[str]) -> set[str]:
    """Return those DAGs whose runs a person may see."""
    return _allowed(user, dag_ids, "GET")


def startable(user: Any, dag_ids: Iterable[str]) -> set[str]:
    """Return those DAGs of which a person may start a run."""
    return _allowed(user, dag_ids, "POST")


def _allowed(user: Any, dag_ids: Iterable[str], method: Any) -> set[str]:
    wanted = sorted(dag_ids)
    teams = DagModel.get_dag_id_to_team_name_mapping(wanted)
    return {
        dag_id
        for dag_id in wanted
        if get_auth_manager().is_authorized_dag(
            method=method,
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            user=user,
        )
    }
