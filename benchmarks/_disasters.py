"""The disasters, one after the other on one stack: how each is made, and the way back."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks._bars import say
from benchmarks._kills_world import MEMBERS, PARKED, World
from local import airflow, processes, runs, servers, tables
from local.paths import ROOT
from local.stack import Stack
from searchsync.catalog import Entity, entity
from searchsync.config import snapshots

LOCATIONS = entity("locations")


class Drill:
    """One disaster: what it took, step by step, and what was found afterwards.

    :param entities: whose sources change, and whose indexes are compared
    :ivar lost: in the words of the page
    :ivar problems: what is not whole although the page says so
    """

    def __init__(
        self, name: str, stack: Stack, one_row_in: int, entities: tuple[Entity, ...] = (LOCATIONS, MEMBERS)
    ) -> None:
        self.name, self.stack, self.lost, self.entities = name, stack, "nothing", entities
        self.steps: list[tuple[str, float]] = []
        self.problems: list[str] = []
        self.choose = random.Random(name)
        self.up()  # what the case before has left dead
        if one_row_in > 1:
            self.world.keep_one_row_in(one_row_in)
        for of in entities:
            if self.world.indexes(of).live() is None:
                self.searchsync("reindex", of.name)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Time a step of the way back."""
        began = time.monotonic()
        yield
        self.steps.append((text, time.monotonic() - began))
        say(f"{self.name}: {text}: {self.steps[-1][1]:.1f} s")

    def up(self) -> None:
        """Start what does not run, as ``./dev up --no-run`` does."""
        self.stack.up()
        self.world = World(self.stack)

    def halt(self, *names: str) -> None:
        """Kill parts of the stack."""
        alive = self.stack.running()
        for name in names:
            processes.stop(alive[name], first=signal.SIGKILL, patience=10.0)

    def run(self, dag_id: str) -> None:
        """Run a DAG and wait, as ``./dev trigger`` does."""
        api = self.stack.api()
        run_id = api.trigger(dag_id)
        if not (outcome := runs.follow(api, dag_id, run_id, lambda _: None)).succeeded:
            self.problems.append("\n".join(runs.explain_failure(api, outcome)))

    def searchsync(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """Run a command of the page, which ends with one of some exit codes."""
        command = [sys.executable, "-m", "searchsync.cli.main", *arguments]
        env = airflow.environment(self.stack.variables())
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            self.problems.append(f"searchsync {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
        return done.stdout + done.stderr

    def change(self) -> None:
        """Let the sources go on: some rows and items are changed, deleted and added."""
        for of in self.entities:
            self.world.change(of, self.choose)

    def compare(self) -> None:
        """Compare every document of every index with its source."""
        with self.step("every document compared"):
            for of in self.entities:
                self.problems += self.world.different(of.name)

    def cells(self) -> list[str]:
        """A row of the table."""
        of = "; ".join(f"{text} {seconds:.0f} s" for text, seconds in self.steps)
        what = "; ".join(self.problems).replace("\n", " ")[:300]
        return [self.name, f"NOT WHOLE: {what}" if what else self.lost, f"{self.seconds:.0f} s", of]

    @property
    def seconds(self) -> float:
        """From the loss on, without what only proves that all is well."""
        return sum(seconds for text, seconds in self.steps if "compared" not in text)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"case": self.name, "lost": self.lost, "problems": self.problems, "steps": dict(self.steps)}


def cluster_reindexed(drill: Drill) -> None:
    """The cluster's disks are gone, and no snapshot is there."""
    drill.halt("opensearch")
    shutil.rmtree(drill.stack.home.part("opensearch"))
    drill.change()
    with drill.step("new cluster"):
        drill.up()
    for of in (MEMBERS, LOCATIONS):
        with drill.step(f"{of.name} reindexed"):
            drill.searchsync("reindex", of.name)
    drill.compare()
    drill.lost = "rollback candidates, the history of comparisons, noted gaps"


def cluster_restored(drill: Drill) -> None:
    """The cluster's disks are gone, and a snapshot of the live indexes is there, to which much has come since."""
    folder, repository = drill.stack.home.part("opensearch"), snapshots().repository
    live = [drill.world.indexes(of).live_or_raise() for of in (LOCATIONS, MEMBERS)]
    body = {"indices": ",".join(live), "include_global_state": False}
    drill.world.search.request("PUT", f"/_snapshot/{repository}/before-disaster?wait_for_completion=true", body=body)
    drill.change()
    drill.world.sync()
    drill.halt("opensearch")
    saved = folder.with_name("snapshots-kept")
    shutil.move(folder / "snapshots", saved)
    shutil.rmtree(folder)
    drill.change()
    with drill.step("new cluster"):
        folder.mkdir(parents=True)
        shutil.move(saved, folder / "snapshots")
        drill.up()  # it registers the repository
    with drill.step("restored, searchable as of the snapshot"):
        restore = {"indices": ",".join(live), "include_aliases": True, "include_global_state": False}
        drill.world.search.request(
            "POST",
            f"/_snapshot/{repository}/before-disaster/_restore?wait_for_completion=true",
            body=restore,
            patience=600,
        )
    for of in (MEMBERS, LOCATIONS):
        with drill.step(f"{of.name} brought up to date"):
            drill.searchsync("compare", of.name, "--pending", "--repair", "--cap", "100000")
    drill.compare()
    drill.lost = "rollback candidates, the history of comparisons, noted gaps"


def source_restored(drill: Drill) -> None:
    """PostgreSQL's disk is put back as it was before changes that the index has."""
    folder, saved = drill.stack.home.part("postgres"), drill.stack.home.part("postgres-yesterday")
    _stop_postgres(drill)
    _copy(folder, saved)
    drill.up()
    drill.change()
    drill.world.sync()
    _stop_postgres(drill)
    shutil.rmtree(folder)
    shutil.move(saved, folder)
    with drill.step("old disk, database and Airflow up"):
        drill.up()
    with drill.step("compared: it says that something is wrong"):
        said = drill.searchsync("compare", "locations", codes=(0, 1))
    if " moving" not in said and "documents differ" not in said:
        drill.problems.append(f"the comparison says nothing of the restored disk: {said[-300:]}")
    with drill.step("locations reindexed, with a new epoch"):
        drill.searchsync("reindex", "locations", "--new-epoch")
    drill.compare()
    drill.lost = "the changes since yesterday, in the source itself; the rollback"


def _copy(folder: Path, to: Path) -> None:
    """Copy a folder with the owners of its files: PostgreSQL runs as an account of its own."""
    subprocess.run(["cp", "-a", str(folder), str(to)], check=True)


def _stop_postgres(drill: Drill) -> None:
    drill.halt(*(name for name in airflow.PROGRAMS if name in drill.stack.running()))
    record = servers.running(drill.stack.home.part("postgres"))
    if record is not None:
        processes.stop(record.process, first=signal.SIGINT, patience=30.0)


def queue_purged(drill: Drill) -> None:
    """Messages that were the only list of what the index lacks are gone."""
    drill.world.prepare("members_dlq_replay", drill.choose)
    sqs = tables.client("sqs", drill.stack.address("aws"))
    sqs.purge_queue(QueueUrl=drill.stack.variables()[MEMBERS.variable("DEAD_LETTER_QUEUE")])
    # What comes by the stream later shows that the stream is not what holds the lost ones up.
    drill.world.change(MEMBERS, drill.choose)
    with drill.step("what a comparison finds is repaired"):
        said = drill.searchsync("compare", "members", "--repair")
    if f"{PARKED} missing" not in said:
        drill.problems.append(f"the comparison did not find {PARKED} missing documents: {said[-300:]}")
    drill.compare()


def airflow_lost(drill: Drill) -> None:
    """Airflow's database is gone; OpenSearch and the sources are as they were."""
    before = drill.searchsync("indexes")
    drill.halt(*airflow.PROGRAMS)
    with psycopg.connect(drill.stack.server("postgres").dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE airflow WITH (FORCE)")
    drill.world.change(MEMBERS, drill.choose)
    with drill.step("Airflow up, with an empty database"):
        drill.up()
    with drill.step("DAGs read and unpaused"):
        runs.await_dag(drill.stack.api(), "members_dlq_replay", parsed_since=drill.stack.airflow_started())
        runs.unpause_scheduled(drill.stack.api())
    if _names(before) != _names(drill.searchsync("indexes")):
        drill.problems.append("the indexes are others than before")
    with drill.step("members_dlq_replay ran"):
        drill.run("members_dlq_replay")
    drill.compare()
    drill.lost = "the history of runs, and which DAGs were paused"


def _names(shown: str) -> set[str]:
    return {word for word in shown.split() if word.startswith(("locations-", "members-"))}


def region_lost(drill: Drill) -> None:
    """Everything is gone but copies of the sources that were made before the last changes."""
    home = drill.stack.home
    items = list(drill.world.items())
    _stop_postgres(drill)
    elsewhere = replace(home, folder=home.folder.with_name(f"{home.folder.name}-elsewhere"))
    shutil.rmtree(elsewhere.folder, ignore_errors=True)
    elsewhere.folder.mkdir(parents=True)
    _copy(home.part("postgres"), elsewhere.part("postgres"))
    shutil.copy(home.secrets, elsewhere.secrets)
    (elsewhere.part("postgres") / servers.RECORD).unlink(missing_ok=True)
    drill.up()
    drill.change()
    at = datetime.now(UTC)
    drill.stack.down(wipe=True)
    drill.stack = Stack(elsewhere, say)
    with drill.step("servers, with the copy of PostgreSQL"):
        drill.up()
    with drill.step("copy of the table put back"):
        drill.world.put_back(items)
    for of in (MEMBERS, LOCATIONS):
        with drill.step(f"{of.name} reindexed"):
            drill.searchsync("reindex", of.name)
    drill.compare()
    drill.lost = f"what was written between the copies and {at:%H:%M}: the last changes"


CASES: dict[str, Callable[[Drill], None]] = {
    "queue_purged": queue_purged,
    "cluster_restored": cluster_restored,
    "cluster_reindexed": cluster_reindexed,
    "source_restored": source_restored,
    "airflow_lost": airflow_lost,
    "region_lost": region_lost,
}
"""By name, in an order in which each finds the stack whole."""
