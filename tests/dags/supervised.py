"""Runs tasks of one DAG as a worker does: each in a process of its own, below a supervisor that writes its log.

``python -m tests.dags.supervised DAG_FILE DAG_ID RUN_ID TASK...`` prints for each task its exit code and when its
supervisor had ended, a line of JSON each. Airflow's settings come from the environment. The API server is away: all
that is known is the run. ``TRACEPARENT`` in the environment is the place of the tasks in a trace.
"""

import json
import os
import sys
import time
import uuid
from typing import Any

import httpx
from airflow.executors.workloads.base import BundleInfo
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import supervise_task

NOW = "2026-01-01T00:00:00Z"


def main(file: str, dag_id: str, run_id: str, *tasks: str) -> None:
    """Run the tasks one after the other."""
    for task_id in tasks:
        traceparent = os.environ.get("TRACEPARENT")
        task = TaskInstance(
            id=uuid.uuid4(),
            task_id=task_id,
            dag_id=dag_id,
            run_id=run_id,
            try_number=1,
            dag_version_id=uuid.uuid4(),
            context_carrier={"traceparent": traceparent} if traceparent else None,
        )
        code = supervise_task(
            ti=task,
            bundle_info=BundleInfo(name="dags-folder"),
            dag_rel_path=file,
            token="",
            client=Client(base_url=None, token="", dry_run=True, transport=httpx.MockTransport(_api(dag_id, run_id))),
            log_path=f"{task_id}.log",
        )
        print(json.dumps({"exit": code, "ended": time.time()}), file=sys.stderr)


def _api(dag_id: str, run_id: str) -> Any:
    """Return what the API server would answer, as far as a task without parameters asks it."""
    run = {"dag_id": dag_id, "run_id": run_id, "run_type": "manual", "run_after": NOW, "start_date": NOW}
    unset = dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "end_date", "partition_key"))
    told = {"dag_run": run | unset | {"state": "running", "consumed_asset_events": [], "conf": {}}, "max_tries": 0}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=told | {"should_retry": False} if request.url.path.endswith("/run") else {})

    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
