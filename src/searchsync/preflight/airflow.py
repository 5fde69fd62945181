"""Airflow: the pool of the loads, the connections of the tasks, and Slack. Only a task of Airflow can see them."""

from collections.abc import Iterator, Mapping
from functools import partial

from searchsync.preflight.checks import Check, Finding, NotApplicable
from searchsync.preflight.scheduler import Scheduler
from searchsync.preflight.target import Target

OPENSEARCH, SLACK = "searchsync_opensearch", "searchsync_slack"
CONNECTIONS: Mapping[str, str] = {OPENSEARCH: "opensearch", SLACK: "slackwebhook"}
"""Types of the connections that no entity's file names, by id."""

_TYPES = {"postgres": "postgres", "dynamodb": "aws"}


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of the pool, of each connection, and of Slack."""
    yield Check(
        "Airflow pool",
        "of the loads",
        "Airflow never runs the tasks of a pool that is not there, and only its scheduler's log says so",
        "airflow pools set NAME 4 'Load tasks', or correct SEARCHSYNC_LOAD_POOL; if it is full, wait for its loads",
        partial(_pool, target),
    )
    of_entities = {entity.connection: _TYPES[entity.source] for entity in target.entities.values()}
    for connection, kind in sorted({**CONNECTIONS, **of_entities}.items()):
        yield Check(
            "Airflow connection",
            connection,
            "the tasks that need it would fail" if connection != SLACK else "nobody would be told of a failure",
            f"Add the connection {connection} of the type {kind} (docs/operations/airflow.md)",
            partial(_connection, target, connection, kind),
        )
    yield Check(
        "Slack",
        SLACK,
        "nobody would be told of a failure",
        "Make a new webhook for the channel, and put its path into the connection's password",
        partial(_slack, target),
    )


def _scheduler(target: Target) -> Scheduler:
    if target.scheduler is None:
        raise NotApplicable("a shell does not see it: the DAG preflight does")
    return target.scheduler


def _pool(target: Target) -> Finding:
    name, wrong = _scheduler(target).pool()
    return Finding(name, [wrong] if wrong else [])


def _connection(target: Target, connection: str, kind: str) -> Finding:
    found = _scheduler(target).connection_type(connection)
    if found is None:
        return Finding("", ["there is none"])
    return Finding(found, [] if found == kind else [f"its type is {found}, not {kind}"])


def _slack(target: Target) -> Finding:
    said, wrong = _scheduler(target).slack()
    return Finding(said, [wrong] if wrong else [])
