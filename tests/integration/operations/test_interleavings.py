"""Interleavings by name, each forced at its border: whatever comes between two steps, every index ends as the table.

What is not here is where its part is tested; docs/protocol.md has the whole list.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest

from local import opensearch as local_opensearch
from local.members import generate
from searchsync.catalog import entity
from searchsync.cli import workflows
from searchsync.cluster import aliases
from searchsync.cluster.client import Client, connect
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import CONTENT, MISSING, ORPHAN, Effort
from searchsync.documents import dynamodb_item
from searchsync.documents.position import FENCE_SECONDS
from searchsync.errors import BadParams
from searchsync.operations import gate, purge, reindex, rollback
from searchsync.operations.reindex import Reindex
from searchsync.operations.replay import Replay
from searchsync.sources.dynamodb import Segment
from searchsync.stream import gaps
from searchsync.stream.consumer import Outcome, Stream, identify
from searchsync.stream.dead_letters import ParkedRecord
from searchsync.writing.progress import Rejections
from tests.faults import OpenSearchProxy
from tests.integration.compare.test_differences import copy, delete
from tests.members import World, clients
from tests.steps import documents, living, make_index, rebuild, serve, start_mortal, until

REPO = Path(__file__).parents[3]
WRITE = r"POST /members-.*/_bulk\?timeout"


@pytest.fixture(autouse=True)
def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on its way when green joins, unless a test puts it there."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)


@pytest.fixture
def rejections(tmp_path: Path) -> Iterator[Rejections]:
    with Rejections(tmp_path / "rejected") as rejections:
        yield rejections


def expected(world: World) -> dict[str, dict[str, Any]]:
    return {key: dynamodb_item.content_of(world.entity, item) for key, item in world.table().items()}


def assert_true_everywhere(world: World) -> None:
    wanted, members = expected(world), EntityIndexes(world.client, world.entity).write_set()
    assert members
    for index in members:
        assert living(world.client, index) == wanted, index


# -- a reindex, and everything that can happen between two of its steps

STEPS = ("checked", "joined", "read", "written", "tombstones", "gated", "swapped")


class Steps:
    """Step by step; ``after`` is called after each, with its name."""

    def __init__(self, world: World, faulty: Client, proxy: OpenSearchProxy) -> None:
        self.world, self.faulty, self.proxy = world, faulty, proxy

    def run(self, after: Callable[[str], None], rejections: Rejections) -> str:
        world, client, entity = self.world, self.world.client, self.world.entity
        plan = reindex.check(
            EntityIndexes(client, world.source.entity), world.source, run_id="test", running=lambda _: None
        )
        after("checked")
        green = reindex.create_green(EntityIndexes(client, entity), plan)
        after("joined")
        self.proxy.before(WRITE, lambda: after("read"))  # the page is read, and not yet written
        slow = Reindex(EntityIndexes(self.faulty, entity), plan, green)
        slow.load(world.source, Segment(0, 1), rejections=rejections)
        after("written")
        run = Reindex(EntityIndexes(client, entity), plan, green)
        run.copy_tombstones()
        after("tombstones")
        run.make_searchable()
        gate.gate(run, world.source, rejections=rejections)
        after("gated")
        run.swap()
        after("swapped")
        return green


@pytest.mark.parametrize("when", STEPS)
def test_changes_between_any_two_steps_of_a_reindex(
    world: World, faulty: Client, proxy: OpenSearchProxy, rejections: Rejections, when: str
) -> None:
    """Update, delete, delete and re-create, insert, and the replay of a parked update: all at each border."""
    serve(world.client, world.entity, identity=world.identity)
    for key in ("updated", "deleted", "again", "parked", "parked deleted"):
        world.put(key, name="old")
    before = world.records()
    world.apply(before)
    given_up: list[Any] = []
    delivered: list[Any] = []

    def happen(step: str) -> None:
        if step != when:
            return
        world.put("updated", name="new")
        world.delete("deleted")
        world.delete("again")
        world.put("again", name="again")
        world.put("inserted", name="x")
        delivered.extend(world.records())
        world.put("parked", name="new")
        world.put("parked deleted", name="new")
        given_up.extend(world.records())
        world.delete("parked deleted")
        delivered.extend(world.records())
        world.apply(delivered)
        parked(world, given_up)
        assert world.replay().as_dict()["messages"] == len(given_up)

    Steps(world, faulty, proxy).run(happen, rejections)
    assert given_up, "it did not happen"
    assert_true_everywhere(world)
    world.apply([*given_up, *before, *reversed(delivered)])  # and all of it once more, late and in the wrong order
    assert_true_everywhere(world)
    assert world.messages() == []


@pytest.mark.parametrize("delivery", ["at once", "after the swap", "after the swap, reversed"])
def test_a_delete_and_a_re_creation_after_any_two_steps_of_a_reindex(
    world: World, faulty: Client, proxy: OpenSearchProxy, rejections: Rejections, delivery: str
) -> None:
    """One member for each pair of steps; taken for deleted, or kept as it was, it would be lost or never change."""
    serve(world.client, world.entity, identity=world.identity)
    pairs = {f"{deleted}, {made}": (deleted, made) for deleted, made in combinations_with_replacement(STEPS, 2)}
    for key in pairs:
        world.put(key, name="old")
    before = world.records()
    world.apply(before)
    happened: list[Any] = []

    def happen(step: str) -> None:
        for key, (deleted, made) in pairs.items():
            if deleted == step:
                world.delete(key)
            if made == step:
                world.put(key, name="again")
        happened.extend(records := world.records())
        if delivery == "at once":
            world.apply(records)

    Steps(world, faulty, proxy).run(happen, rejections)
    assert len(happened) == 2 * len(pairs)
    deletions, creations = ([one for one in happened if one["eventName"] == name] for name in ("REMOVE", "INSERT"))
    for records in (creations, deletions) if delivery.endswith("reversed") else (deletions, creations):
        world.apply(records)
    assert_true_everywhere(world)
    world.apply(before)
    assert_true_everywhere(world)
    assert expected(world).keys() == pairs.keys()


@pytest.mark.parametrize("what", ["update", "delete"])
def test_a_writer_that_resolved_before_the_join_and_writes_after_the_swap(
    world: World, faulty: Client, proxy: OpenSearchProxy, tmp_path: Path, what: str
) -> None:
    """It resolves again before it acknowledges, and finds the index that it had not heard of."""
    blue = serve(world.client, world.entity, identity=world.identity)
    for key in ("m-1", "m-2"):
        world.put(key, name="old")
    world.apply()
    if what == "delete":
        world.delete("m-1")
    else:
        world.put("m-1", name="new")
    records = world.records()

    def whole_reindex() -> None:
        made = rebuild(world.client, world.connect, tmp_path, run_id="meanwhile")
        assert made["swapped"]

    fault = proxy.before(WRITE, whole_reindex)
    outcome = Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply(records, seconds=60)
    assert (fault.hits, outcome.failed) == (1, "")
    green = str(EntityIndexes(world.client, world.entity).live())
    assert green != blue
    for index in (blue, green):
        found = documents(world.client, index)["m-1"]
        assert found["sync"]["position"] == identify(world.entity, records[0])[1], "the event itself was written"
    assert_true_everywhere(world)


def test_a_writer_that_lands_long_after_its_batch_was_delivered_again(
    world: World,
    faulty: Client,
    proxy: OpenSearchProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A function that was given up while it waits still writes; the fence keeps it below what was scanned meanwhile."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", FENCE_SECONDS)
    monkeypatch.setattr("searchsync.cluster.client.ANSWER_SECONDS", 100.0)  # or it would give up, and look again
    serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="old")
    world.put("m-2", name="old")
    records = world.records()
    go_on = threading.Event()
    held = proxy.before(WRITE, lambda: go_on.wait(100))
    said: list[Outcome] = []
    stream = Stream(EntityIndexes(faulty, world.entity), world.dead.send)
    zombie = threading.Thread(target=lambda: said.append(stream.apply(records, seconds=120)))
    zombie.start()
    until(lambda: held.hits == 1, "it is about to write")
    world.apply(records)
    world.delete("m-1")
    world.put("m-2", name="new")
    world.apply()
    rebuild(world.client, world.connect, tmp_path, run_id="meanwhile")
    assert said == []
    go_on.set()
    zombie.join(60)
    (outcome,) = said
    assert (outcome.failed, outcome.written, outcome.stale) == ("", 0, 4), "two keys into two indexes, and too late"
    assert_true_everywhere(world)


# -- a function that dies

FUNCTION = """
import json, sys
from searchsync.catalog import entity
from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.stream.consumer import Stream

stream = Stream(EntityIndexes(connect(sys.argv[1]), entity("members")), print)
outcome = stream.apply(json.loads(sys.argv[2]), seconds=60)
print("not acknowledged" if outcome.failed else "acknowledged", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("when", ["before both", "between them", "before the acknowledgement", "after it"])
def test_a_function_killed_at_each_border_of_its_batch(
    world: World, proxy: OpenSearchProxy, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has not acknowledged comes again, and is written where it is missing; what it has, is there already."""
    blue = serve(world.client, world.entity, identity=world.identity)
    green = make_index(world.client, world.entity, "green")
    world.put("m-1", name="x")
    world.put("m-2", name="gone")
    world.apply()
    world.put("m-1", name="new")
    world.delete("m-2")
    records = world.records()
    monkeypatch.setenv("PYTHONPATH", str(REPO / "src"))
    command = [sys.executable, "-c", FUNCTION, proxy.url, json.dumps(records)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as function:
        assert function.stdout is not None
        if when == "before the acknowledgement":
            proxy.after(rf"POST /{green}/_bulk\?timeout", function.kill)
        elif when != "after it":
            reached = blue if when == "before both" else green
            proxy.add(rf"POST /{reached}/_bulk\?timeout", lambda *_: function.kill())  # and the request goes nowhere
        said = function.stdout.readline()
        function.kill()

    def versions() -> list[int]:
        return [world.client.request("GET", f"/{index}/_doc/m-1")["_version"] for index in (blue, green)]

    assert said == ("acknowledged\n" if when == "after it" else "")
    assert versions() == {"before both": [1, 1], "between them": [2, 1]}.get(when, [2, 2])
    if when != "after it":
        assert world.apply(records).failed == ""
    assert_true_everywhere(world)
    assert versions() == [2, 2], "what was there is not written again"


# -- repair


def served_one(world: World) -> str:
    """The live index, which has one member."""
    blue = serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="x")
    world.apply()
    return blue


def repaired_too_late(
    world: World,
    blue: str,
    faulty: Client,
    proxy: OpenSearchProxy,
    kind: str,
    change: Callable[[], None],
) -> None:
    """The one finding is repaired, while its member changes between the read of the source and the write."""
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(blue), world.source, effort=Effort(grace=0.0)
    )
    assert report.kinds == {kind: 1}

    def happen() -> None:
        change()
        world.apply()

    proxy.before(WRITE, happen)
    done = repair.repair(EntityIndexes(faulty, world.source.entity), world.source, report, dry_run=False)
    assert (done.written, done.stale) == (0, 1)
    assert_true_everywhere(world)


def test_the_repair_of_an_orphan_loses_to_its_re_creation(world: World, faulty: Client, proxy: OpenSearchProxy) -> None:
    """The source was read, and there was nothing."""
    blue = served_one(world)
    copy(world.client, blue, "m-1", to="m-2")
    repaired_too_late(world, blue, faulty, proxy, ORPHAN, lambda: world.put("m-2", name="born"))
    assert living(world.client, blue)["m-2"]["name"] == "born"


def test_the_repair_of_what_is_missing_loses_to_its_deletion(
    world: World, faulty: Client, proxy: OpenSearchProxy
) -> None:
    blue = served_one(world)
    delete(world.client, blue, "m-1")
    repaired_too_late(world, blue, faulty, proxy, MISSING, lambda: world.delete("m-1"))
    assert living(world.client, blue) == {}


# -- rollback


@pytest.fixture
def both(world: World, tmp_path: Path) -> tuple[str, str]:
    """The index that was live before, and the live one."""
    generate(world.aws["dynamodb"], 30)
    made = [str(rebuild(world.client, world.connect, tmp_path, run_id=build)["index"]) for build in "ab"]
    world.apply()
    return made[0], made[1]


def test_a_rollback_between_the_resolution_of_a_writer_and_its_write(
    world: World, both: tuple[str, str], faulty: Client, proxy: OpenSearchProxy
) -> None:
    plan = rollback.plan(EntityIndexes(world.client, world.entity))
    world.delete("m-0000001")
    world.put("m-0000002", name="new")
    records = world.records()
    proxy.before(WRITE, lambda: rollback.swap(EntityIndexes(world.client, world.entity), plan))
    assert Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply(records, seconds=60).failed == ""
    assert EntityIndexes(world.client, world.entity).live() == both[0]
    assert_true_everywhere(world)


def test_a_closed_candidate_is_true_again_after_it_was_opened_and_repaired(world: World, both: tuple[str, str]) -> None:
    """The live one is not held up; what the other does not take is noted as a gap."""
    world.client.request("POST", f"/{both[0]}/_close")
    world.put("m-0000001", name="new")
    world.delete("m-0000002")
    outcome = world.apply()
    assert outcome.failed == ""
    assert list(outcome.missed) == [both[0]]
    assert living(world.client, both[1])["m-0000001"]["name"] == "new"
    world.client.request("POST", f"/{both[0]}/_open")
    assert len(gaps.of_index(Index(world.client, both[0]))) == 1
    for found in (2, 0):
        report = differences.find(
            EntityIndexes(world.client, world.source.entity).get(both[0]), world.source, effort=Effort(grace=0.0)
        )
        assert len(report.findings) == found
        repair.repair(EntityIndexes(world.client, world.source.entity), world.source, report, dry_run=False)
    assert gaps.of_index(Index(world.client, both[0])) == []
    assert_true_everywhere(world)


def test_a_clone_is_never_served_by_mistake(world: World, both: tuple[str, str], rejections: Rejections) -> None:
    """It has everything of an index of ours but its aliases, and nobody feeds it."""
    world.client.request("PUT", f"/{both[0]}/_block/write")
    clone = f"{both[0][:-8]}0123abcd"
    world.client.request("PUT", f"/{both[0]}/_clone/{clone}")
    world.client.request("PUT", f"/{both[0]}/_settings", body={"index.blocks.write": None})
    with pytest.raises(BadParams, match="never live, or is not in the write set"):
        rollback.plan(EntityIndexes(world.client, world.entity), clone)
    with pytest.raises(BadParams, match="not in the write set"):
        workflows.serve(EntityIndexes(world.client, world.entity), world.connect, clone, rejections=rejections)
    assert clone not in EntityIndexes(world.client, world.entity).write_set()


def parked(world: World, records: list[Any]) -> None:
    """Records that the function could not write, in the queue."""
    world.dead.send(
        [ParkedRecord(record, *identify(world.entity, record), "outage", "").message() for record in records]
    )


def by_a_replay(world: World, client: Client) -> None:
    """One run of the replay through another client."""
    Replay(EntityIndexes(client, world.source.entity), world.source, world.dead, world.parked, world.origins).run()


def test_a_replay_meets_a_rollback(world: World, both: tuple[str, str], faulty: Client, proxy: OpenSearchProxy) -> None:
    plan = rollback.plan(EntityIndexes(world.client, world.entity))
    world.put("m-0000001", name="parked")
    world.delete("m-0000002")
    parked(world, world.records())
    fault = proxy.before(WRITE, lambda: rollback.swap(EntityIndexes(world.client, world.entity), plan))
    by_a_replay(world, faulty)
    assert fault.hits == 1
    assert EntityIndexes(world.client, world.entity).live() == both[0]
    assert_true_everywhere(world)
    assert world.messages() == []


def test_a_replay_meets_a_retirement(
    world: World, both: tuple[str, str], faulty: Client, proxy: OpenSearchProxy
) -> None:
    """The index is gone when its turn comes: nobody waits for it, and nobody makes it again."""
    world.put("m-0000001", name="parked")
    parked(world, world.records())
    gone = proxy.before(WRITE, lambda: aliases.delete(EntityIndexes(world.client, world.entity), both[0]), skip=1)
    by_a_replay(world, faulty)
    assert gone.hits == 1
    assert EntityIndexes(world.client, world.entity).write_set() == [both[1]]
    assert_true_everywhere(world)
    assert world.messages() == []


def test_an_update_from_before_a_delete_replayed_after_the_purge(world: World, both: tuple[str, str]) -> None:
    """Nothing keeps it out any more; but a replay reads the table, and finds nothing there to bring back."""
    world.put("m-0000001", name="parked")
    late = world.records()
    world.delete("m-0000001")
    world.apply()
    later = datetime.now(UTC) + timedelta(days=1)
    for index in both:
        world.client.request("POST", f"/{index}/_refresh")
        purge.purge(EntityIndexes(world.client, world.entity), index, later)
    parked(world, late)
    world.replay()
    assert "m-0000001" not in living(world.client, both[1])
    assert_true_everywhere(world)


# -- what others do


def test_an_update_by_query_is_found(world: World, both: tuple[str, str]) -> None:
    """It leaves position and hash as they were: only the fields tell."""
    Index(world.client, both[1]).refresh()
    script = {"source": "ctx._source.city = 'elsewhere'", "lang": "painless"}
    body = {"query": {"ids": {"values": ["m-0000003", "m-0000004"]}}, "script": script}
    world.client.request("POST", f"/{both[1]}/_update_by_query", body=body, params={"refresh": "true"})
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(both[1]),
        world.source,
        effort=Effort(grace=0.0, sample=1_000),
    )
    assert {found.key: (found.kind, found.source) for found in report.findings} == {
        "m-0000003": (CONTENT, "city"),
        "m-0000004": (CONTENT, "city"),
    }
    repair.repair(EntityIndexes(world.client, world.source.entity), world.source, report, dry_run=False)
    assert_true_everywhere(world)


@pytest.mark.parametrize("flushed", [False, True])
def test_opensearch_killed_right_after_the_swap(
    mortal: local_opensearch.Server, aws_url: str, tmp_path: Path, flushed: bool
) -> None:
    """What was acknowledged is there again, the alias and every document."""
    world = World(connect(mortal.url), entity("members"), clients(aws_url))
    generate(world.aws["dynamodb"], 300)
    made = rebuild(world.client, world.connect, tmp_path, run_id="test")
    world.put("m-0000001", name="after the swap")
    assert world.apply(seconds=60).failed == ""
    if flushed:
        world.client.request("POST", f"/{made['index']}/_flush")
    mortal.kill()
    start_mortal(mortal.folder)
    assert EntityIndexes(world.client, world.entity).live() == made["index"]
    assert_true_everywhere(world)
    world.delete("m-0000002")
    assert world.apply(seconds=60).failed == ""
    assert_true_everywhere(world)


def test_an_index_deleted_under_the_writers_is_made_by_nobody(
    world: World, both: tuple[str, str], faulty: Client, proxy: OpenSearchProxy
) -> None:
    proxy.before(WRITE, lambda: world.client.request("DELETE", f"/{both[0]}"), skip=1)
    world.put("m-0000001", name="new")
    assert Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply(world.records(), seconds=60).failed == ""
    assert both[0] not in json.dumps(world.client.request("GET", "/_cat/indices?format=json&expand_wildcards=all"))
    assert living(world.client, both[1])["m-0000001"]["name"] == "new"
