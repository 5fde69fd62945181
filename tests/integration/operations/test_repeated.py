"""What was half done, interrupted or looked at in a bad moment and is done again: nothing is lost or served twice."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cli import main, workflows
from searchsync.cluster import aliases, creation, unwritable
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import IndexUnavailable, RequestRejected, SourceChanged, StaleSwap
from searchsync.operations import reindex, retire, rollback
from searchsync.writing.progress import Rejections
from tests.faults import OpenSearchProxy
from tests.steps import Connect, make_index, names, rebuild, serve

FLOOD_STAGE = {"index.blocks.read_only_allow_delete": True}


def nobody(_: str) -> None:
    return None


@pytest.fixture
def unblocked(client: Client) -> Iterator[None]:
    yield
    client.request(
        "PUT", "/_all/_settings", params={"expand_wildcards": "all"}, body={"index.blocks.read_only_allow_delete": None}
    )


def test_a_run_that_began_an_epoch_does_not_begin_another_when_it_is_cleared_after_its_swap(
    client: Client, rows: int, connect_source: Connect, tmp_path: Path
) -> None:
    """Its index would get positions above all that syncs write: every later change would be stale, silently."""
    rebuild(client, connect_source, tmp_path, run_id="first")
    swapped = rebuild(client, connect_source, tmp_path, run_id="restored", new_epoch=True)["index"]
    with closing(connect_source(None)) as source:
        plan = reindex.check(
            EntityIndexes(client, source.entity), source, run_id="restored", running=nobody, new_epoch=True
        )
        assert (plan.blue, plan.epoch, plan.fresh_epoch) == (swapped, 2, False)
        assert reindex.create_green(EntityIndexes(client, source.entity), plan) == swapped
        other = reindex.check(
            EntityIndexes(client, source.entity), source, run_id="another", running=nobody, new_epoch=True
        )
        assert (other.epoch, other.fresh_epoch) == (3, True)


def test_a_run_that_is_cleared_after_the_source_changed_does_not_mix_two_sources(
    client: Client, locations: Entity
) -> None:
    made = creation.find_or_create(
        EntityIndexes(client, locations), run_id="a run", source={"identity": "here", "epoch": 1}
    )
    assert (
        creation.find_or_create(
            EntityIndexes(client, locations), run_id="a run", source={"identity": "here", "epoch": 1}
        )
        == made
    )
    for source in ({"identity": "here", "epoch": 2}, {"identity": "there", "epoch": 1}):
        with pytest.raises(SourceChanged, match="trigger a new run"):
            creation.find_or_create(EntityIndexes(client, locations), run_id="a run", source=source)


def test_two_builds_of_one_epoch_and_different_servers_do_not_follow_each_other(
    client: Client, locations: Entity, connect_source: Connect, tmp_path: Path
) -> None:
    live = serve(client, locations, identity="server B")
    other = creation.find_or_create(
        EntityIndexes(client, locations), run_id="cli/other", source={"identity": "server C", "epoch": 1}
    )
    aliases.join(EntityIndexes(client, locations), other.name)
    with Rejections(tmp_path / "rejected") as rejections, pytest.raises(SourceChanged, match="in one epoch"):
        workflows.serve(EntityIndexes(client, locations), connect_source, other.name, rejections=rejections)
    assert EntityIndexes(client, locations).live() == live


class Kept:
    """A checkpoint that stays from one attempt to the next."""

    def __init__(self) -> None:
        self.value: dict[str, Any] | None = None

    def get(self) -> dict[str, Any] | None:
        return self.value

    def set(self, value: dict[str, Any]) -> None:
        self.value = value


def test_a_load_whose_range_has_moved_begins_anew(
    client: Client,
    rows: int,
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ranges are made again when `partitions` is cleared: behind the old key of another range nobody reads."""
    monkeypatch.setattr(reindex, "CHECKPOINT_SECONDS", 0.0)
    kept = Kept()
    with closing(connect_source(None)) as source, Rejections(tmp_path / "rejected") as rejections:
        plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="a run", running=nobody)
        green = reindex.create_green(EntityIndexes(client, source.entity), plan)

        def load(partition: Any) -> int:
            done = reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
                source, partition, rejections=rejections, bulk_bytes=20_000, checkpoint=kept
            )
            return done.read

        (whole,) = source.partitions(1)
        assert load(whole) == rows
        assert kept.value is not None
        assert load(whole) == rows, "from its checkpoint on, counting what an earlier attempt had read"
        first, _ = source.partitions(2)
        assert load(first) == pytest.approx(rows / 2, abs=2)


def test_a_rollback_that_is_cleared_after_its_swap_does_not_swap_back(
    client: Client, rows: int, connect_source: Connect, locations: Entity, tmp_path: Path
) -> None:
    good, bad = (str(rebuild(client, connect_source, tmp_path, run_id=build)["index"]) for build in ("good", "bad"))
    triggered = datetime.now(UTC)
    plan = rollback.plan(EntityIndexes(client, locations), since=triggered)
    assert plan.target == good
    rollback.swap(EntityIndexes(client, locations), plan)
    with pytest.raises(StaleSwap, match=f"{bad} stopped being live after.*trigger a new run"):
        rollback.plan(EntityIndexes(client, locations), since=triggered)
    assert rollback.plan(EntityIndexes(client, locations), since=datetime.now(UTC)).target == bad, (
        "a new run goes forward"
    )


def test_an_undo_whose_answer_is_lost_leaves_no_candidate_that_does_not_serve(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    blue = serve(client, locations)
    green = make_index(client, locations, "green")
    aliases.swap(EntityIndexes(client, locations), blue=blue, green=green)
    proxy.lose_answer("POST /_aliases")
    rollback.swap(EntityIndexes(faulty, locations), rollback.RollbackPlan(live=green, target=blue), forget=True)
    assert EntityIndexes(client, locations).live() == blue
    assert rollback.candidates(EntityIndexes(client, locations)) == []
    assert reindex.discard(EntityIndexes(client, locations), "green") == [green]


def test_a_missing_copy_holds_up_a_swap_and_nothing_else(client: Client, locations: Entity) -> None:
    name = make_index(client, locations)
    client.request("PUT", f"/{name}/_settings", body={"index.number_of_replicas": 1})
    Index(client, name).refresh()  # yellow: on one node there is no place for the copy
    copied = {**locations.index_body["settings"], "auto_expand_replicas": "false", "number_of_replicas": 1}
    replicated: Any = SimpleNamespace(index_body={"settings": copied})
    with pytest.raises(IndexUnavailable, match="allocation/explain"):
        creation.make_searchable(EntityIndexes(client, replicated), name, patience=1.0)


def test_an_index_that_is_deleted_meanwhile_is_not_waited_for(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    name = make_index(client, locations)
    aliases.delete(EntityIndexes(client, locations), name)
    proxy.answer(f"POST /{name}/_refresh", 200, {"_shards": {"total": 1, "successful": 0, "failed": 0}})
    with pytest.raises(IndexUnavailable, match="0 of 1 shards"):
        Index(faulty, name).refresh()


def test_a_full_disk_does_not_keep_what_would_free_it(client: Client, locations: Entity, unblocked: None) -> None:
    """It makes all indexes read-only, the live one, too."""
    live, green = serve(client, locations), make_index(client, locations, "green")
    for name in (live, green):
        client.request("PUT", f"/{name}/_settings", body=FLOOD_STAGE)
    with pytest.raises(RequestRejected, match=r"cluster_block_exception|flood stage"):
        aliases.swap(EntityIndexes(client, locations), blue=live, green=green)
    assert EntityIndexes(client, locations).live() == live
    aliases.delete(EntityIndexes(client, locations), green)
    assert names(client, locations) == [live]


def test_one_index_that_cannot_be_deleted_keeps_no_other(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    serve(client, locations)
    dead = [make_index(client, locations, build) for build in ("a", "b")]
    proxy.answer(f"DELETE /{dead[0]}$", 400, {"error": {"type": "illegal_argument_exception", "reason": "no"}})
    with pytest.raises(RequestRejected, match="illegal_argument_exception"):
        retire.retire(EntityIndexes(faulty, locations), lambda _: False)
    assert dead[1] not in names(client, locations)


def test_a_closed_member_is_given_up_as_one_that_takes_no_writes(
    client: Client,
    locations: Entity,
    capsys: pytest.CaptureFixture[str],
    opensearch_server: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live, closed = serve(client, locations), make_index(client, locations, "green")
    client.request("POST", f"/{closed}/_close")
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", opensearch_server.url)
    assert main.main(["indexes", "locations"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert shown[closed].endswith("no: it is closed")
    assert shown[live].endswith("yes")
    assert unwritable.evict(EntityIndexes(client, locations), patience=0.0) == {closed: "it is closed"}
    assert names(client, locations) == [live]


def test_who_gave_an_index_up_says_so_when_the_next_one_cannot_be(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    serve(client, locations)
    first, second = sorted(make_index(client, locations, build) for build in ("a", "b"))
    for name in (first, second):
        client.request("PUT", f"/{name}/_settings", body={"index.blocks.write": True})
    proxy.answer(f"DELETE /{second}$", 400, {"error": {"type": "illegal_argument_exception", "reason": "no"}})
    assert set(unwritable.evict(EntityIndexes(faulty, locations), patience=0.0)) == {first}


def test_what_is_named_otherwise_is_given_up_when_it_is_in_our_aliases(
    client: Client, locations: Entity, opensearch_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a snapshot leaves it that was restored under another name, with its aliases."""
    live = serve(client, locations)
    aliases: dict[str, Any] = {alias: {"is_hidden": True} for alias in (locations.write_alias, locations.served_alias)}
    client.request("PUT", "/restored-index", body={"aliases": aliases})
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", opensearch_server.url)
    try:
        assert main.main(["indexes", "abandon", "restored-index"]) == 0
        assert EntityIndexes(client, locations).write_set() == [live]
    finally:
        client.request("DELETE", "/restored-index", params={"ignore_unavailable": "true"})
