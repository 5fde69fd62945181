"""The link from a task to the files that its run wrote for people.

The API server makes the link itself, for each task whose operator ``EvidenceLink`` names: it is there for a task that
was killed, too. It is a path without a host: the browser already is where the files are.
"""

from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow.providers.standard.decorators.python import _PythonDecoratedOperator
from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.decorator import task_decorator_factory

PREFIX = "/searchsync"


def base_path() -> str:
    """The path of ``[api] base_url``, below which Airflow is; mostly empty."""
    from airflow.sdk.configuration import conf

    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def path_of(dag_id: str, run_id: str, file: str) -> str:
    """Where the API server shows a file of a run."""
    return f"{base_path()}{PREFIX}/reports/{quote(dag_id, safe='')}/{quote(run_id, safe='')}/{quote(file)}"


class EvidenceOperator(_PythonDecoratedOperator):
    """A ``@task`` that writes evidence."""


class EvidenceLink(BaseOperatorLink):
    """The button *Evidence* on the page of such a task."""

    name = "Evidence"
    operators: ClassVar[list[Any]] = [EvidenceOperator]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """The summary, which leads to everything else."""
        return path_of(ti_key.dag_id, ti_key.run_id, "summary.html")


task_with_evidence = partial(task_decorator_factory, decorated_operator_class=EvidenceOperator)
"""As ``@task``, with the link."""
