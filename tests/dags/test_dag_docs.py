"""The page of a DAG is read at night, by somebody who may not know the entity: it has the entity's own names."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from searchsync.catalog import include_dir

REPO = Path(__file__).parents[2]
CPU_SECONDS = 1.0
"""Of one file of DAGs, for fifty entities: each is parsed in a process of its own, again and again."""

PARSE = """
import json, runpy, sys, time
from pathlib import Path
from airflow.sdk import DAG, task
sys.path.insert(0, "plugins")
task(lambda: None)
from searchsync.catalog import CATALOG
seconds, docs = {}, {}
for file in sorted(Path("dags").glob("*.py")):
    took = []
    for _ in range(3):
        began = time.process_time()
        names = runpy.run_path(str(file))
        took.append(time.process_time() - began)
    seconds[file.name] = min(took)
    if isinstance(dag := names.get("dag"), DAG):
        docs[dag.dag_id] = dag.doc_md
from search_ops.dag_docs import doc_of
from searchsync.catalog import DEFAULT_SCHEDULES
for name, entity in CATALOG.items():
    for operation in DEFAULT_SCHEDULES[entity.source]:
        docs[f"{name}_{operation}"] = doc_of("ENTITY WHEN", entity, operation)
print(json.dumps({"seconds": seconds, "docs": docs}))
"""


def add(folder: Path, name: str, like: str, **changes: Any) -> None:
    described = yaml.safe_load((folder / f"{like}.yaml").read_text(encoding="utf-8")) | changes
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")


def parse(include: Path) -> dict[str, Any]:
    env = {**os.environ, "SEARCHSYNC_INCLUDE": str(include)}
    done = subprocess.run([sys.executable, "-c", PARSE], cwd=REPO, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_pages_of_fifty_entities_have_their_own_names_and_cost_little(tmp_path: Path) -> None:
    """A page with another entity's queue sends somebody to the wrong place; slow files delay every schedule."""
    shutil.copytree(include_dir(), tmp_path / "include")
    folder = tmp_path / "include" / "entities"
    for number in range(24):
        add(folder, f"shop_{number}", "locations", sql=f"shop_{number}.sql", connection=f"shop_{number}_postgres")
        add(folder, f"event_{number}", "members", table=f"app.events-{number}", connection=f"event_{number}_aws")
    found = parse(tmp_path / "include")
    print({name: round(seconds, 2) for name, seconds in found["seconds"].items()})
    assert max(found["seconds"].values()) < CPU_SECONDS

    page = found["docs"]["event_7_replay"]
    for own in (
        "`include/entities/event_7.yaml`",
        "`app.events-7` of DynamoDB",
        "`event_7_aws`",
        "`event_7-writers`",
        "`SEARCHSYNC_EVENT_7_DEAD_LETTER_QUEUE`",
        "`SEARCHSYNC_EVENT_7_PARKED_QUEUE`",
        "`SEARCHSYNC_ENTITY=event_7`",
        "`searchsync replay event_7`",
    ):
        assert own in page, own
    page = found["docs"]["shop_7_sync"]
    for own in ("`include/sql/shop_7.sql`", "`shop_7_postgres`", "`searchsync compare shop_7`"):
        assert own in page, own
    assert "QUEUE" not in page
    for name, page in found["docs"].items():
        others = set(re.findall(r"(?:shop|event|events)[_-](\d+)", page))
        assert others <= set(re.findall(r"\d+", name)), f"{name} names another entity"


def test_pages_name_nothing_but_their_entity(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        for mine, other in (("locations", "members"), ("members", "locations")):
            if dag_id.startswith(f"{mine}_"):
                assert mine in dag.doc_md
                assert not re.search(rf"\b{other}\b", dag.doc_md), f"{dag_id} names {other}"
                assert "ENTITY" not in dag.doc_md.replace("SEARCHSYNC_ENTITY", "")
                assert "WHEN" not in dag.doc_md
