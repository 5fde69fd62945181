"""A member that is not live and takes no writes holds up nothing and floods nothing; it is healed before it is live.

What it misses is noted as a gap: before the acknowledgement, a note for each hour, closed only by what has seen it.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from searchsync.cli import workflows
from searchsync.cluster import aliases, creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.errors import GateFailed, SearchSyncError, Undone
from searchsync.operations import gate, reindex, rollback
from searchsync.operations.reindex import Reindex
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream import gaps
from searchsync.stream.consumer import Stream
from searchsync.writing.progress import Rejections
from tests.faults import OpenSearchProxy
from tests.members import World, record
from tests.steps import documents, living, make_index, make_red_index, serve

GAP_NOTED = "PUT /searchsync-gaps/_doc/"


@pytest.fixture(autouse=True)
def _quick(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fence, no grace, and an unwritable member is tried again at once."""
    monkeypatch.setattr("searchsync.writing.writer.UNWRITABLE_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(gaps, "UNWRITABLE_SECONDS", 0.0)


@pytest.fixture
def blue(world: World) -> str:
    """The live index."""
    return serve(world.client, world.entity, identity=world.identity)


def block(world: World, index: str, how: bool | None = True) -> None:
    world.client.request("PUT", f"/{index}/_settings", body={"index.blocks.write": how})


def built(world: World, tmp_path: Path) -> tuple[reindex.ReindexPlan, str, Rejections]:
    """A green that passed everything but its gate."""
    plan = reindex.check(
        EntityIndexes(world.client, world.source.entity), world.source, run_id="test", running=lambda _: None
    )
    green = reindex.create_green(EntityIndexes(world.client, world.entity), plan)
    rejections = Rejections(tmp_path / "rejected")
    (part,) = world.source.partitions(1)
    with rejections:
        reindex.Reindex(EntityIndexes(world.client, world.source.entity), plan, green).load(
            world.source, part, rejections=rejections
        )
    reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).copy_tombstones()
    creation.make_searchable(EntityIndexes(world.client, world.entity), green)
    return plan, green, rejections


def pass_gate(world: World, plan: reindex.ReindexPlan, green: str, rejections: Rejections) -> None:
    with rejections:
        gate.gate(
            Reindex(EntityIndexes(world.client, world.source.entity), plan, green),
            world.source,
            rejections=rejections,
            allow_shrink=True,
        )


def missed(world: World, index: str) -> list[gaps.NotedGap]:
    return gaps.of_index(Index(world.client, index))


@pytest.mark.parametrize("how", ["blocked", "red"])
@pytest.mark.parametrize("served", [False, True], ids=["building", "rollback candidate"])
def test_an_unwritable_member_holds_up_nothing_and_fills_no_queue(world: World, how: str, served: bool) -> None:
    """Parked as whole records, an hour of it would be millions of messages that nobody needs."""
    if how == "red":
        blue, other = serve(world.client, world.entity), make_red_index(world.client, world.entity, "other")
        if served:
            body = {"actions": [{"add": {"index": other, "alias": world.entity.served_alias, "is_hidden": True}}]}
            world.client.request("POST", "/_aliases", body=body)
    else:
        other = serve(world.client, world.entity, "first") if served else make_index(world.client, world.entity, "o")
        blue = serve(world.client, world.entity, blue=other if served else None)
        block(world, other)
    second = int(time.time()) // 3600 * 3600
    for number in range(5):
        batch = [record(f"m-{number}-{n}", second + n, n + 1, name="x") for n in range(20)]
        outcome = world.apply(batch, seconds=30)
        assert (outcome.failed, outcome.written, list(outcome.missed)) == ("", 20, [other])
    assert len(living(world.client, blue)) == 100
    assert world.messages() == []
    (noted,) = missed(world, other)
    assert noted.gap["from"] < noted.gap["to"]
    assert "took no writes" in noted.gap["why"]
    assert missed(world, blue) == [], "never for the live one"


def test_each_hour_of_changes_has_a_note_of_its_own(world: World, blue: str) -> None:
    other = make_index(world.client, world.entity, "other")
    block(world, other)
    hour = int(time.time()) // 3600 * 3600
    world.apply([record("m-1", hour - 7_200, 1, name="x"), record("m-2", hour, 2, name="x")])
    begins = [noted.gap["from"] for noted in missed(world, other)]
    assert len(begins) == len(set(begins)) == 2


@pytest.mark.parametrize("fault", ["refused", "unanswered"])
def test_what_cannot_be_noted_is_not_acknowledged(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, fault: str
) -> None:
    """Acknowledged, nobody would ever know that the member lacks it."""
    other = make_index(world.client, world.entity, "other")
    block(world, other)
    if fault == "refused":
        proxy.answer(GAP_NOTED, 503, {"error": {"type": "unavailable", "reason": "down"}}, times=None)
    else:
        proxy.lose_answer(GAP_NOTED, times=None)
    through = Stream(EntityIndexes(faulty, world.entity), world.dead.send)
    outcome = through.apply([record("m-1", name="x")], seconds=2.0)
    assert outcome.failed.startswith("IndexUnavailable")
    assert "m-1" in living(world.client, blue), "the live one has it all the same"
    proxy.clear()
    assert through.apply([record("m-1", name="x")], seconds=60.0).failed == ""
    assert len(missed(world, other)) == 1


def test_a_member_that_becomes_live_while_it_is_passed_by_is_written(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy
) -> None:
    """Its gap is looked for before and after the swap, which both may be over when it is noted."""
    other = make_index(world.client, world.entity, "other")
    block(world, other)

    def swap() -> None:
        aliases.swap(EntityIndexes(world.client, world.entity), blue=blue, green=other)
        block(world, other, None)

    proxy.before(GAP_NOTED, swap)
    outcome = Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply(
        [record("m-1", name="x")], seconds=60.0
    )
    assert outcome.failed == ""
    assert "m-1" in living(world.client, other)


def test_a_comparison_closes_what_it_has_seen(world: World, blue: str) -> None:
    other = make_index(world.client, world.entity, "other")
    world.put("m-1", name="one")
    world.apply()
    block(world, other)
    world.put("m-1", name="two")
    world.put("m-2", name="new")
    world.apply()
    block(world, other, None)
    world.put("m-3", name="after it recovered")
    world.apply()
    report = differences.find(EntityIndexes(world.client, world.source.entity).get(other), world.source)
    assert report.kinds == {differences.MISSING: 1, differences.STALE: 1}
    assert len(missed(world, other)) == 1, "something was found: it stays"
    repair.repair(EntityIndexes(world.client, world.source.entity), world.source, report, dry_run=False)
    assert differences.find(EntityIndexes(world.client, world.source.entity).get(other), world.source).good
    assert missed(world, other) == []
    assert living(world.client, other) == living(world.client, blue)


def test_a_comparison_does_not_close_what_is_missed_while_it_looks(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is that of the same hour: closed with what was seen, the later change would be lost in silence."""
    other = make_index(world.client, world.entity, "other")
    world.put("m-1", name="one")
    world.apply()
    block(world, other)
    world.apply([record("m-1", int(time.time()) // 3600 * 3600, 1, name="older than what it has")])
    assert len(missed(world, other)) == 1
    scan = DynamoSource.fingerprints

    def fingerprints(self: DynamoSource) -> dict[int, tuple[int, int, int]]:
        found = scan(self)
        world.put("m-2", name="missed while it looks")
        assert world.apply().missed
        return found

    monkeypatch.setattr(DynamoSource, "fingerprints", fingerprints)
    assert differences.find(EntityIndexes(world.client, world.source.entity).get(other), world.source).good, (
        "what it has read was equal"
    )
    assert len(missed(world, other)) == 1


def test_what_is_missed_after_the_gate_is_not_served_and_the_next_gate_heals_it(
    world: World, blue: str, tmp_path: Path
) -> None:
    world.put("m-1", name="one")
    world.put("m-2", name="one")
    world.apply()
    plan, green, rejections = built(world, tmp_path)
    pass_gate(world, plan, green, rejections)
    block(world, green)
    world.put("m-1", name="two")
    world.delete("m-2")
    assert world.apply().missed
    block(world, green, None)
    with pytest.raises(GateFailed, match="may lack changes"):
        reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).swap()
    assert EntityIndexes(world.client, world.entity).live() == blue
    pass_gate(world, plan, green, rejections)
    reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).swap()
    reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).verify()
    assert living(world.client, green) == {"m-1": {"member_id": "m-1", "name": "two"}}


def test_what_is_missed_in_the_moment_of_the_swap_is_not_served_for_long(
    world: World, blue: str, tmp_path: Path, faulty: Client, proxy: OpenSearchProxy
) -> None:
    """Between the look at the gaps and the swap: the check after it goes back."""
    plan, green, rejections = built(world, tmp_path)
    pass_gate(world, plan, green, rejections)
    block(world, green)
    world.put("m-1", name="one")
    proxy.before("POST /_aliases", lambda: world.apply(seconds=30))
    reindex.Reindex(EntityIndexes(faulty, world.entity), plan, green).swap()
    with pytest.raises(Undone, match="may lack changes"):
        reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).verify()
    assert EntityIndexes(world.client, world.entity).live() == blue
    assert "m-1" in living(world.client, blue)


def test_a_deletion_that_was_missed_keeps_a_late_event_out(world: World, blue: str, tmp_path: Path) -> None:
    """Neither side has the key, so a comparison sees nothing; without its tombstone a late event would win."""
    now = time.time()
    plan, green, rejections = built(world, tmp_path)
    block(world, green)
    world.apply([record("m-1", now, 1, name="created and")])
    world.apply([record("m-1", now, 2)])
    block(world, green, None)
    pass_gate(world, plan, green, rejections)
    assert missed(world, green) == []
    reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).swap()
    assert world.apply([record("m-1", now, 1, name="late")]).stale == 2
    assert living(world.client, green) == {}


def test_a_rollback_heals_what_its_candidate_missed(world: World, blue: str, tmp_path: Path) -> None:
    green = serve(world.client, world.entity, "green", blue=blue, identity=world.identity)
    world.put("m-1", name="one")
    world.apply()
    block(world, blue)
    world.put("m-1", name="two")
    world.apply()
    block(world, blue, None)
    chosen = rollback.plan(EntityIndexes(world.client, world.entity))
    assert (chosen.target, chosen.live) == (blue, green)

    def not_asked(_: str) -> None:
        """How far it is behind the stream."""

    def roll_back() -> Any:
        with Rejections(tmp_path / "rejected") as rejections:
            return workflows.roll_back(
                EntityIndexes(world.client, world.entity),
                lambda _: world.source,
                name=None,
                rejections=rejections,
                behind=lambda _: None,
            )

    with pytest.raises(SearchSyncError, match="is not what its source is"):
        roll_back()
    repair.repair(
        EntityIndexes(world.client, world.source.entity),
        world.source,
        differences.find(EntityIndexes(world.client, world.source.entity).get(blue), world.source),
        dry_run=False,
    )
    assert roll_back()["index"] == blue
    assert missed(world, blue) == []
    assert living(world.client, blue) == living(world.client, green)


def test_a_candidate_that_misses_something_while_a_rollback_reconciles_is_not_served(
    world: World, blue: str, tmp_path: Path
) -> None:
    green = serve(world.client, world.entity, "green", blue=blue, identity=world.identity)
    chosen = rollback.RollbackPlan(green, blue)
    original = gaps.close

    def close(*arguments: Any) -> None:
        original(*arguments)
        block(world, blue)
        world.put("m-1", name="x")
        assert world.apply().missed

    with Rejections(tmp_path / "rejected") as rejections, pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "close", close)
        with pytest.raises(GateFailed, match="may lack changes"):
            rollback.reconcile(
                EntityIndexes(world.client, world.source.entity), world.source, chosen, rejections=rejections
            )
    assert EntityIndexes(world.client, world.entity).live() == green


def test_a_replay_passes_by_an_unwritable_member(world: World, blue: str) -> None:
    """One candidate that takes no writes would keep every message of the queue waiting, and each run failing."""
    world.put("m-1", name="x", sync={"M": {}})
    assert world.apply().parked.total() == 1
    world.put("m-1", name="x")
    other = make_index(world.client, world.entity, "other")
    block(world, other)
    report = world.replay().as_dict()
    assert list(report["missed"]) == [other]
    assert world.messages() == []
    assert documents(world.client, blue)["m-1"]["name"] == "x"
    assert len(missed(world, other)) == 1
