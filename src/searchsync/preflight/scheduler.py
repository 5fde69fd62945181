"""What a task of Airflow can say about its Airflow, and nobody else."""

from typing import Protocol


class Scheduler(Protocol):
    """An Airflow, as a task of it sees it."""

    def pool(self) -> tuple[str, str]:
        """Return the name of the pool of the loads, and what is wrong with it; nothing when a task gets its slot."""

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection; None when there is none."""

    def slack(self) -> tuple[str, str]:
        """Return what Slack's address answers to an empty message, and what is wrong with that."""
