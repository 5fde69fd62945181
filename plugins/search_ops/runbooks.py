"""Which runbook belongs to a DAG: there is one for each operation, in `docs/operations`."""

OPERATIONS = ("reindex", "sync", "quality", "dlq_replay")
"""Ends of the ids of the DAGs that every entity has of its own."""


OTHER_NAMES = {"slo_report": "slo"}
"""DAGs whose runbook is the page of the whole matter."""


def runbook(dag_id: str) -> str:
    """Return the path of a DAG's runbook in the repository."""
    operation = next((name for name in OPERATIONS if dag_id.endswith(f"_{name}")), None)
    operation = operation or OTHER_NAMES.get(dag_id, dag_id)
    return f"docs/operations/{operation}.md"
