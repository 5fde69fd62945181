"""The commands that runbooks print are run as they stand: what an operator copies at night has to work."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import opensearch as local_opensearch
from local.airflow import aws_environment
from searchsync.catalog import Entity
from searchsync.cli import main
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.config import snapshots
from tests import runbooks
from tests.members import World
from tests.search_service import serving
from tests.steps import Connect, rebuild

REPO = Path(__file__).parents[3]
SHELL = """
set -euo pipefail
searchsync() { "$PYTHON" -m searchsync.cli.main "$@"; }
curl() { command curl --fail-with-body "$@"; }
"""


def blocks(runbook: str) -> list[str]:
    """The code blocks of a runbook, without what needs the local stack and what is optional."""
    text = (REPO / "docs" / "operations" / runbook).read_text(encoding="utf-8").replace("<entity>", "locations")
    found = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    kept = ["".join(line for line in block.splitlines(True) if "./dev" not in line) for block in found]
    return [re.sub(r" \[--.*?\]", "", block) for block in kept]


@pytest.fixture
def run(shell: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs shell commands; returns what they print."""
    monkeypatch.setenv("PYTHONPATH", str(REPO / "src"))
    monkeypatch.setenv("PYTHON", sys.executable)

    def run(commands: str) -> str:
        script = ["bash", "-c", SHELL + commands]
        done = subprocess.run(script, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def served(client: Client, rows: int, connect_source: Connect, tmp_path: Path) -> list[str]:
    """Three indexes that were live one after the other, the live one last."""
    return [
        str(rebuild(client, connect_source, tmp_path, run_id=build)["index"]) for build in ("first", "second", "third")
    ]


@pytest.fixture
def retired(client: Client, opensearch_server: local_opensearch.Server) -> Iterator[str]:
    """The name of the repository that the runbook registers; it is gone afterwards, with its folder."""
    name = snapshots().repository
    yield name
    client.request("DELETE", f"/_snapshot/{name}")
    shutil.rmtree(opensearch_server.folder / "snapshots" / name, ignore_errors=True)


def test_of_index_rollback(
    client: Client,
    locations: Entity,
    served: list[str],
    run: Any,
) -> None:
    shown, back = (run(block) for block in blocks("index_rollback.md"))
    assert all(name in shown for name in served)
    assert shown.count("rollback candidate") == 2
    assert served[1] in back, "the one that was live last"
    assert EntityIndexes(client, locations).live() == served[1]


def test_of_index_retire(
    client: Client,
    locations: Entity,
    served: list[str],
    run: Any,
    include: Path,
    retired: str,
    rows: int,
) -> None:
    dry, register, look_into = blocks("index_retire.md")
    long_ago = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    Index(client, served[0]).put_meta({**Index(client, served[0]).read_meta(), "left_read_at": long_ago})
    run(register)
    policy = include / "policies" / "retention.yaml"
    policy.write_text(yaml.safe_dump(yaml.safe_load(policy.read_text()) | {"save_before_deletion": True}))

    said = run(dry.replace("searchsync retire --dry-run", ""))  # members have nothing here
    assert re.search(rf"{served[0]}.*would be deleted.*saved in {retired}", said)
    assert served[0] in EntityIndexes(client, locations).write_set()
    assert main.main(["retire", "locations"]) == 0
    assert served[0] not in EntityIndexes(client, locations).write_set()

    *ask, remove = look_into.replace("locations-20260101t020000-0123abcd", served[0]).strip().splitlines()
    answers = run("\n".join(ask))
    assert f'"value":{rows}' in answers, "all of it is there"
    restored = client.request("GET", f"/restored-{served[0]}/_alias")[f"restored-{served[0]}"]
    assert restored["aliases"] == {}
    assert EntityIndexes(client, locations).write_set()[0] == EntityIndexes(client, locations).live() == served[2]
    run(f"NAME={served[0]}\n{remove}")


# -- what shows and repairs, on all pages: it leaves nothing behind that another block needs


@pytest.fixture
def looked_at(
    at_once: None,
    served: list[str],
    world: World,
    shell: None,
    aws_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Live indexes of both entities, one shard that has no node, and a shell for all of it; returns an index."""
    settings = {"index": {"number_of_replicas": 1, "auto_expand_replicas": "false"}}
    world.client.request("PUT", "/without-node", body={"settings": settings})
    variables = {
        **aws_environment(aws_url),
        "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": world.urls["dead"],
        "SEARCHSYNC_MEMBERS_PARKED_QUEUE": world.urls["parked"],
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    world.put("m-1", tenant_id="acme", name="Ada")
    assert main.main(["reindex", "members"]) == 0
    yield EntityIndexes(world.client, world.entity).live_or_raise()
    world.client.request("DELETE", "/without-node")


def test_each_command_of_each_page_does_what_it_says(
    looked_at: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is of a program that a test runs, and ends well; a command that looks may find something."""
    of_airflow = "$SEARCHSYNC_AIRFLOW_URL"  # tests/dags/test_runbooks.py
    todo = [block for program in ("searchsync", "curl") for block in runbooks.blocks(program)]
    lines = {line: block for block in todo for line in block.of("members", looked_at).splitlines()}
    assert len(lines) > 20
    failed = []
    with serving(os.environ["SEARCHSYNC_OPENSEARCH_URL"], "redis://127.0.0.1:1/0") as search_api:
        monkeypatch.setenv("SEARCHSYNC_SEARCH_API_URL", search_api.url)
        for line, block in lines.items():
            if of_airflow in line:
                continue
            words = shlex.split(line)
            if words[0] == "searchsync":
                code, said = main.main(words[1:]), "".join(capsys.readouterr())
                good = code == 0 or (code == 1 and "searchsync: Different: " in said)
            else:
                done = subprocess.run(["bash", "-c", SHELL + line], capture_output=True, text=True, check=False)
                good, said = done.returncode == 0, done.stdout + done.stderr
            if not good:
                failed.append(f"{block.page}, {block.heading}: {line}\n{said[-400:]}")
    assert not failed, "\n".join(failed)


def test_a_page_has_no_command_that_no_test_runs() -> None:
    for block in runbooks.blocks():
        found = block.programs()
        if block.page not in runbooks.SEQUENCES:
            one_test = found <= {"searchsync", "curl"} or found in ({"aws"}, {"airflow"})
            assert one_test, f"{block.page}, {block.heading}: {found} are run by several tests, or by none"
