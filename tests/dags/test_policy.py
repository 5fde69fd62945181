"""What every DAG must have, and what must never be possible in any."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from benchmarks._kills import TASKS
from searchsync.catalog import CATALOG
from searchsync.operations.reindex import STEPS

REPO = Path(__file__).parents[2]
EXPECTED = {
    "locations_reindex", "locations_sync", "locations_quality",
    "members_reindex", "members_dlq_replay", "members_quality",
    "index_retire", "index_rollback", "capacity", "cluster_health", "freshness", "preflight",
    "index_snapshot", "recovery_drill", "canary", "slo_report", "readiness",
}  # fmt: skip
FAILS_FAST = {
    "members_dlq_replay": "the next run is ten minutes away",
    "freshness": "the next run is five minutes away",
}


def test_exactly_the_known_dags_are_found(dags: dict[str, Any]) -> None:
    assert set(dags) == EXPECTED, "list a new DAG here, and write a runbook for a new operation"


def test_every_dag_has_what_an_operator_needs(dags: dict[str, Any]) -> None:
    from search_ops.alerts import run_failed
    from search_ops.runbooks import runbook

    for dag in dags.values():
        for part in ("**When**", "**What it may change**", "**Undo**"):
            assert part in (dag.doc_md or ""), f"{dag.dag_id}: doc_md lacks {part}"
        assert (REPO / runbook(dag.dag_id)).exists(), f"{dag.dag_id}: runbook"
        assert f"`{runbook(dag.dag_id)}`" in (dag.doc_md or ""), f"{dag.dag_id}: doc_md names another runbook"
        assert dag.tags, dag.dag_id
        assert dag.catchup is False, dag.dag_id
        assert dag.max_active_runs == (4 if dag.dag_id == "index_rollback" else 1), dag.dag_id
        assert dag.on_failure_callback in (run_failed, [run_failed]), (
            f"{dag.dag_id}: a killed task must reach Slack too"
        )
        assert getattr(dag, "start_date", None) is None, f"{dag.dag_id}: would fire when unpaused"
        for task in dag.tasks:
            assert task.owner == "search", task
            assert (task.retries >= 1) != (dag.dag_id in FAILS_FAST), task
            assert not task.on_failure_callback, f"{task}: alerts come from the DAG, once"


def test_a_failure_is_said_when_airflow_knows_none_of_its_tasks(slack: Callable[[], list[str]]) -> None:
    """As after a deployment that took the task away: the context has no run and no task then."""
    from search_ops.alerts import run_failed

    run_failed({"dag": SimpleNamespace(dag_id="locations_sync"), "run_id": "a run", "reason": "task_failure"})
    (said,) = slack()
    for part in ("*locations_sync* failed", "a run", "task_failure", "docs/operations/sync.md"):
        assert part in said


def test_every_parameter_says_what_it_does(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for name in dag.params:
            param = dag.params.get_param(name)
            assert param.description, f"{dag.dag_id}: {name}"
            assert param.schema.get("type"), f"{dag.dag_id}: {name}"


def test_the_kill_matrix_names_every_task(dags: dict[str, Any]) -> None:
    """Of every DAG but those that are another one for members, or write nothing but what they saw."""
    assert EXPECTED - set(TASKS) == {"canary", "capacity", "members_quality", "preflight", "readiness", "slo_report"}
    for dag_id, tasks in TASKS.items():
        named, there = set(tasks.split()), set(dags[dag_id].task_ids)
        assert named <= there if dag_id == "members_reindex" else named == there, f"{dag_id}: benchmarks/_kills.py"


def test_load_tasks_share_one_pool(dags: dict[str, Any]) -> None:
    assert dags["locations_reindex"].get_task("load").pool == "searchsync_load"


def test_loads_are_in_a_pool_that_every_airflow_has_unless_another_is_named() -> None:
    """Airflow never runs the tasks of a pool that is not there, and only its scheduler's log says so."""
    code = "import sys; sys.path.insert(0, 'plugins'); from search_ops.dag_policy import LOAD_POOL; print(LOAD_POOL)"
    env = {name: value for name, value in os.environ.items() if name != "SEARCHSYNC_LOAD_POOL"}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "default_pool"


@pytest.mark.parametrize(
    ("dag_id", "read_from"), [("locations_reindex", "scan"), ("members_reindex", "scan"), ("members_reindex", "export")]
)
def test_no_path_leads_to_the_swap_around_the_gate(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, dag_id: str, read_from: Literal["scan", "export"]
) -> None:
    monkeypatch.setitem(CATALOG, "members", replace(CATALOG["members"], read_from=read_from))
    dag = request.getfixturevalue("dags")[dag_id]  # the DAGs are made from the catalog
    swap = dag.get_task("swap")
    before_swap = [step for step in STEPS[: STEPS.index("swap")] if step != "export" or read_from == "export"]
    chain = [*before_swap, "approve", "gate_again", "canary", "warm"]
    chain.insert(chain.index("load"), "partitions")
    for name in chain:
        assert name in swap.get_flat_relative_ids(upstream=True), f"the swap can happen without {name}"
        assert dag.get_task(name).trigger_rule == "all_success", f"{name} would run after a failure"
    assert swap.trigger_rule == "all_success"
    for before, after in zip(chain, [*chain[1:], "swap"], strict=True):
        upstream = dag.get_task(after).get_flat_relative_ids(upstream=True)
        assert before in upstream, f"{after} can run before {before}"
    assert "warm" in swap.upstream_task_ids
    assert "swap" in dag.get_task("verify").upstream_task_ids


def test_the_teardowns_keep_a_failed_run_red(dags: dict[str, Any]) -> None:
    for dag_id in ("locations_reindex", "members_reindex"):
        discard, completed = (dags[dag_id].get_task(name) for name in ("discard_green", "completed"))
        assert discard.is_teardown
        assert completed.is_teardown
        assert not discard.on_failure_fail_dagrun
        assert completed.on_failure_fail_dagrun
        assert {leaf.task_id for leaf in dags[dag_id].leaves} == {"completed"}
        # Of its own it decides, too: it may have none after it but what does not.
        assert dags[dag_id].get_task("announce").downstream_task_ids == {"discard_green"}


def test_only_a_dag_that_judges_its_end_has_a_teardown(dags: dict[str, Any]) -> None:
    """Else a run that is marked failed would be a success."""
    for dag in dags.values():
        teardowns = [task for task in dag.tasks if task.is_teardown]
        assert not teardowns or any(task.on_failure_fail_dagrun for task in teardowns), dag.dag_id


def test_dags_survive_serialization(dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dags.values():
        stored = DagSerialization.to_dict(dag)
        again = DagSerialization.from_dict(stored)
        assert set(again.task_ids) == set(dag.task_ids)


def test_parsing_a_dag_file_imports_nothing_heavy() -> None:
    code = (
        "import sys; from airflow.sdk import task; task(lambda: None); sys.path.insert(0, 'plugins')\n"
        "import importlib.util as u, pathlib; before = set(sys.modules)\n"
        "for file in sorted(pathlib.Path('dags').glob('*.py')):\n"
        "    spec = u.spec_from_file_location(file.stem, file); spec.loader.exec_module(u.module_from_spec(spec))\n"
        "print(*{module.split('.')[0] for module in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "searchsync" in loaded
    assert not loaded & {
        "opensearchpy",
        "psycopg",
        "great_expectations",
        "pandas",
        "numpy",
        "boto3",
        "botocore",
        "requests",
    }


def test_one_plugin_is_loaded_and_replaces_no_other_module() -> None:
    # Airflow executes every .py below plugins/ as a top-level module unless .airflowignore says otherwise.
    from airflow import plugins_manager

    ours = {file.stem for file in (REPO / "plugins").rglob("*.py")} - {"__init__", "search_ops_plugin"}
    before = dict(sys.modules)
    plugins, errors = plugins_manager._get_plugins.__wrapped__()
    assert errors == {}
    assert [str(plugin.source) for plugin in plugins] == ["$PLUGINS_FOLDER/search_ops_plugin.py"]
    foreign = {stem for stem in ours if "search_ops" in str(getattr(sys.modules.get(stem), "__file__", ""))}
    assert not foreign, f"add their folder to plugins/.airflowignore: {foreign}"
    replaced = {name for name, module in before.items() if sys.modules.get(name) is not module}
    assert replaced <= {"search_ops_plugin"}


def test_a_task_does_not_pay_for_the_pages() -> None:
    # Each task's process loads the plugins, too; the API's own code takes it seconds.
    code = (
        "import sys; from airflow.sdk import plugins_manager\n"
        "plugins, errors = plugins_manager._get_plugins(); assert plugins and not errors, errors\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "search_ops_plugin" in loaded
    assert not loaded & {"search_ops.pages", "fastapi", "airflow.api_fastapi.core_api.security"}
