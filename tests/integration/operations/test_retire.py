"""The end of indexes and tombstones: what is deleted was saved, and what may still be needed stays."""

import json
import re
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from local import opensearch as local_opensearch
from local import sample_data
from searchsync.catalog import Entity, entity
from searchsync.cli import main, workflows
from searchsync.cluster import aliases, snapshots
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.cluster.snapshots import Repository
from searchsync.compare import differences, repair
from searchsync.documents.page import Page, page_of, read_document, tombstone
from searchsync.errors import BadParams, GateFailed, IndexUnavailable, RequestRejected, SnapshotFailed, StaleSwap
from searchsync.operations import purge, reindex, retire
from searchsync.sources.postgres import PostgresSource
from searchsync.writing.progress import Rejections
from searchsync.writing.writer import compare_and_set
from tests.faults import Answer, OpenSearchProxy, Request
from tests.steps import (
    SOURCE,
    Connect,
    documents,
    line,
    living,
    make_index,
    make_red_index,
    names,
    never,
    page,
    position,
    rebuild,
    serve,
    until,
)

NOW = datetime.now(UTC)
BULK = r"POST /.*/_bulk\?timeout"

Retiring = Callable[..., list[retire.Decision]]


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")


def dead(_: str) -> bool:
    return False


def buried(days: float, *keys: str, at: int = 1) -> Page:
    """Documents that were deleted so many days ago."""
    return page_of(
        [tombstone(key, position=position(at), bucket=1, written_at=ago(days)) for key in keys], position=position(at)
    )


def write(client: Client, index: str, *pages: Page) -> None:
    for each in pages:
        compare_and_set(Index(client, index), each, on_rejected=never)
    client.request("POST", f"/{index}/_refresh")


def tune(include: Path, policy: str = "retention", **values: Any) -> None:
    """Change a policy."""
    path = include / "policies" / f"{policy}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def aliases_of(client: Client, index: str) -> dict[str, Any]:
    found: dict[str, Any] = client.request("GET", f"/{index}/_alias")[index]["aliases"]
    return found


@pytest.fixture
def repository(client: Client, include: Path, opensearch_server: local_opensearch.Server) -> Iterator[Path]:
    """A repository in a folder, which the policy names."""
    folder = opensearch_server.folder / "snapshots" / "saved"
    register(client)
    tune(include, "snapshots", repository="saved")
    tune(include, save_before_deletion=True)
    yield folder
    until(lambda: _unregistered(client), "no snapshot under way in the repository")
    shutil.rmtree(folder.parent, ignore_errors=True)


def _unregistered(client: Client) -> bool:
    try:
        client.request("DELETE", "/_snapshot/*")
    except RequestRejected as error:
        if error.error_type != "illegal_state_exception":  # a snapshot that a test asked for is still under way
            raise
        return False
    return True


def register(client: Client, **settings: Any) -> None:
    body = {"type": "fs", "settings": {"location": "saved", **settings}}
    client.request("PUT", "/_snapshot/saved", body=body)


def restore(client: Client, name: str, **how: Any) -> None:
    body = {"indices": name, "include_global_state": False, **how}
    client.request("POST", f"/_snapshot/saved/{name}/_restore", body=body, params={"wait_for_completion": "true"})


def saved(client: Client) -> dict[str, Any]:
    """All snapshots by name."""
    return {found["snapshot"]: found for found in client.request("GET", "/_snapshot/saved/_all")["snapshots"]}


@pytest.fixture
def old(client: Client, locations: Entity) -> str:
    """An index out of the rollback window, beside a live one and a recent candidate."""
    name = serve(client, locations, "old")
    write(client, name, page(1, "a", name="kept in the snapshot"), buried(40, "gone"))
    recent = serve(client, locations, "recent", name)
    serve(client, locations, "live", recent)
    Index(client, recent).stamp_left_read(NOW - timedelta(hours=1))
    Index(client, name).stamp_left_read(NOW - timedelta(hours=25))
    return name


@pytest.fixture
def retiring(faulty: Client, locations: Entity, old: str, repository: Path) -> Retiring:
    """A run by way of the proxy that has an old index to save, and where to; keywords go to ``retire``."""
    return partial(retire.retire, EntityIndexes(faulty, locations), dead)


# -- snapshots


def test_an_index_that_was_served_is_saved_before_it_leaves(
    client: Client, proxy: OpenSearchProxy, locations: Entity, old: str, retiring: Retiring
) -> None:
    green = make_index(client, locations, "abandoned")
    report = {line.index: line for line in retiring()}
    assert {report[name].action for name in (old, green)} == {"deleted"}
    assert "saved in saved" in report[old].why
    assert {old, green}.isdisjoint(names(client, locations))
    (snapshot,) = saved(client).values()
    assert (snapshot["snapshot"], snapshot["indices"], snapshot["state"]) == (old, [old], "SUCCESS")
    assert snapshot["include_global_state"] is False
    first = [next(n for n, sent in enumerate(proxy.requests) if what in sent) for what in ("PUT /_snap", "_aliases")]
    assert first == sorted(first), "it left the write set before it was saved"


def test_nothing_is_saved_unless_the_policy_says_so(
    client: Client, locations: Entity, old: str, retiring: Retiring, include: Path
) -> None:
    tune(include, save_before_deletion=False)
    retiring()
    assert old not in names(client, locations)
    assert saved(client) == {}


def test_a_restored_index_is_in_no_alias_and_nobody_sweeps_it(client: Client, old: str, retiring: Retiring) -> None:
    """The call of the runbook."""
    retiring()
    restore(client, old, include_aliases=False, rename_pattern="(.+)", rename_replacement="restored-$1")
    assert aliases_of(client, f"restored-{old}") == {}
    retiring(now=NOW + timedelta(days=9))
    assert living(client, f"restored-{old}") == {"a": {"name": "kept in the snapshot"}}


@pytest.mark.usefixtures("at_once", "repository")
def test_an_index_that_was_restored_with_its_aliases_is_not_served_before_it_has_caught_up(
    client: Client,
    locations: Entity,
    owner: psycopg.Connection,
    source: PostgresSource,
    include: Path,
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    """What the runbook warns of makes it a candidate again, which does not know what happened while it was away."""
    sample_data.generate(owner, 200)
    owner.execute("UPDATE locations SET updated_at = %s", [NOW - timedelta(days=9)])
    first, live = (str(rebuild(client, connect_source, tmp_path, run_id=build)["index"]) for build in "ab")
    tune(include, keep_previous=0)
    Index(client, first).stamp_left_read(NOW - timedelta(hours=25))
    retire.retire(EntityIndexes(client, locations), dead)
    owner.execute("UPDATE locations SET name = 'since' WHERE location_id = 1")
    restore(client, first)
    assert set(aliases_of(client, first)) == {locations.write_alias, locations.served_alias}

    def back() -> dict[str, Any]:
        with Rejections(tmp_path / "rejected") as rejections:
            return workflows.roll_back(
                EntityIndexes(client, locations),
                lambda _: connect_source(None),
                name=first,
                rejections=rejections,
                behind=lambda _: None,
            )

    with pytest.raises(GateFailed, match=f"{first} is not what its source is"):
        back()
    assert EntityIndexes(client, locations).live() == live
    repair.repair(
        EntityIndexes(client, source.entity),
        source,
        differences.find(EntityIndexes(client, source.entity).get(first), source),
        dry_run=False,
    )
    assert back()["index"] == first
    assert living(client, first)["1"]["name"] == "since"


def test_a_crash_after_the_snapshot_is_gone_on_with(
    client: Client,
    locations: Entity,
    old: str,
    retiring: Retiring,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(aliases, "delete", crash)
        with pytest.raises(KeyboardInterrupt):
            retiring()
    assert {locations.write_alias, locations.served_alias} == set(aliases_of(client, old))
    made = saved(client)[old]["uuid"]
    retiring()
    assert old not in names(client, locations)
    assert saved(client)[old]["uuid"] == made


def test_a_snapshot_under_way_is_waited_for(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    old: str,
    retiring: Retiring,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = proxy.lose_answer("PUT /_snapshot")
    with pytest.raises(SnapshotFailed):
        retiring()
    assert old in EntityIndexes(client, locations).write_set()

    def slow(_: Request, forward: Callable[[], Answer]) -> Answer:
        answer = forward()
        return Answer(answer.status, answer.body.replace(b"SUCCESS", b"IN_PROGRESS"))

    waiting = proxy.add("GET /_snapshot", slow, times=3)
    retiring()
    assert (lost.hits, waiting.hits) == (1, 3)
    assert old not in names(client, locations)
    assert sum(sent.startswith("PUT /_snapshot") for sent in proxy.requests) == 1
    monkeypatch.setattr(snapshots, "LONGEST_SECONDS", 0.0)
    proxy.add("GET /_snapshot", slow, times=None)
    with pytest.raises(SnapshotFailed, match="still in progress"):
        Repository(faulty, "saved").save(old, None)


@pytest.mark.parametrize("fault", ["missing", "read-only", "no folder"])
def test_without_a_repository_to_write_to_the_index_keeps_its_aliases_and_the_rest_goes_on(
    client: Client, locations: Entity, old: str, repository: Path, retiring: Retiring, fault: str
) -> None:
    before, green = aliases_of(client, old), make_index(client, locations, "abandoned")
    write(client, EntityIndexes(client, locations).live_or_raise(), buried(40, "gone"), page(2, "b"))
    if fault == "missing":
        client.request("DELETE", "/_snapshot/saved")
    elif fault == "read-only":
        register(client, readonly=True)
    else:
        shutil.rmtree(repository, ignore_errors=True)
        repository.write_text("in the folder's place")
    with pytest.raises(SnapshotFailed, match=f"{old} is not deleted and keeps its aliases.*_snapshot/saved/_verify"):
        retiring()
    assert aliases_of(client, old) == before
    assert green not in names(client, locations)
    assert set(documents(client, EntityIndexes(client, locations).live_or_raise())) == {"b"}
    write(client, old, page(2, "still written"))
    if repository.is_file():
        repository.unlink()
    register(client)
    retiring()
    assert old not in names(client, locations)
    assert saved(client)[old]["state"] == "SUCCESS"


def test_an_incomplete_snapshot_is_replaced(client: Client, locations: Entity, old: str, retiring: Retiring) -> None:
    red = make_red_index(client, locations)
    body = {"indices": f"{red},{old}", "partial": True}
    client.request("PUT", f"/_snapshot/saved/{old}", body=body, params={"wait_for_completion": "true"})
    assert saved(client)[old]["state"] == "PARTIAL"
    aliases.delete(EntityIndexes(client, locations), red)
    retiring()
    assert old not in names(client, locations)
    assert (saved(client)[old]["state"], saved(client)[old]["indices"]) == ("SUCCESS", [old])


@pytest.mark.parametrize(
    ("state", "failed", "of"), [("PARTIAL", 1, ""), ("FAILED", 1, ""), ("SUCCESS", 1, ""), ("SUCCESS", 0, "another")]
)
def test_only_a_complete_snapshot_of_this_index_counts(
    client: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    old: str,
    retiring: Retiring,
    state: str,
    failed: int,
    of: str,
) -> None:
    found: dict[str, Any] = {"state": state, "shards": {"failed": failed}, "indices": [of or old]}
    found |= {"failures": ["node left"], "start_time_in_millis": 0}
    body = json.dumps({"snapshots": [found]}).encode()
    proxy.add("GET /_snapshot", lambda _, __: Answer(200, body), skip=1)  # the one that asks whether it was made
    with pytest.raises(SnapshotFailed, match="node left"):
        retiring()
    assert old in EntityIndexes(client, locations).write_set()


def test_an_index_that_is_served_again_while_it_is_saved_stays(
    client: Client, proxy: OpenSearchProxy, locations: Entity, old: str, retiring: Retiring
) -> None:
    def back_and_forth() -> None:
        live = EntityIndexes(client, locations).live_or_raise()
        aliases.swap(EntityIndexes(client, locations), blue=live, green=old, served=True)
        aliases.swap(EntityIndexes(client, locations), blue=old, green=live, served=True)
        Index(client, old).stamp_left_read(datetime.now(UTC))

    proxy.after("PUT /_snapshot", back_and_forth)
    with pytest.raises(StaleSwap, match="live again"):
        retiring()
    assert old in EntityIndexes(client, locations).write_set()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tombstone_days": 14.9}, "24 hours in the stream and then 14 days in a queue"),
        ({"tombstone_days": None}, "tombstone_days must be a number"),
        ({"save_before_deletion": "yes"}, "save_before_deletion must be true or false, not 'yes'"),
        ({"save_before_deletion": None}, "save_before_deletion must be true or false"),
    ],
)
def test_a_policy_that_cannot_be_followed_changes_nothing(
    client: Client, locations: Entity, old: str, include: Path, values: dict[str, Any], why: str
) -> None:
    tune(include, **values)
    with pytest.raises(BadParams, match=why):
        retire.retire(EntityIndexes(client, locations), dead)
    assert set(documents(client, old)) == {"a", "gone"}


# -- dry run and command line


def test_a_dry_run_reports_what_a_run_does_and_changes_nothing(
    client: Client, proxy: OpenSearchProxy, locations: Entity, old: str, retiring: Retiring
) -> None:
    make_index(client, locations, "abandoned")
    live = EntityIndexes(client, locations).live_or_raise()
    recent = next(index for index in EntityIndexes(client, locations).all() if index.run_id == "recent")
    Index(client, recent.name).stamp_left_read(None)  # a crash between swap and stamp: a run would stamp it
    write(client, live, buried(31, "x", "y"), buried(29, "z"), page(2, "b"))
    before = client.request("GET", "/_all", params={"expand_wildcards": "all"})
    planned = retiring(dry_run=True, now=NOW)
    assert client.request("GET", "/_all", params={"expand_wildcards": "all"}) == before
    assert saved(client) == {}
    written = ("PUT", "DELETE", "POST /_aliases", "/_bulk")
    assert not [sent for sent in proxy.requests if any(what in sent for what in written)]
    done = retiring(now=NOW)
    assert [replace(line, action=line.action.replace("would be ", "")) for line in planned] == done
    assert sorted(line.action for line in planned) == 2 * ["kept"] + 2 * ["would be deleted"]
    assert next(line for line in planned if line.index == live).purged == 2


def test_the_command_prints_a_line_for_each_index(
    client: Client,
    locations: Entity,
    old: str,
    repository: Path,
    shell: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    building = make_index(client, locations, "locations_reindex/of Airflow")
    live = EntityIndexes(client, locations).live_or_raise()
    write(client, live, buried(31, "x"), page(2, "b"))
    assert main.main(["retire", "--dry-run"]) == 0
    said = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()}
    assert old in names(client, locations)
    assert "would be deleted" in said[old]
    assert re.search(r"left the read alias 25\.\d h ago; saved in saved", said[old])
    assert "building" in said[building]
    assert "kept" in said[building]
    assert said[live].split()[1:4] == ["live", "kept", "1"]
    assert main.main(["retire", "nothing"]) == 1
    assert main.main(["retire", "locations", "members"]) == 0
    assert set(documents(client, live)) == {"b"}
    assert old not in names(client, locations)
    client.request("DELETE", "/_snapshot/saved")
    serve(client, locations, "next", live)
    Index(client, live).stamp_left_read(NOW - timedelta(days=9))
    members = serve(client, entity("members"))
    capsys.readouterr()
    assert main.main(["retire", "--dry-run"]) == 1
    said_now = capsys.readouterr()
    assert "repository_missing_exception" in said_now.err
    assert members in said_now.out, "the other entity goes on"


# -- purge


@pytest.mark.parametrize("name", ["locations", "members"])
def test_only_old_tombstones_are_purged(client: Client, name: str) -> None:
    live = serve(client, entity(name))
    old_document = json.loads(line("old document", 2).source)
    old_document["sync"]["written_at"] = ago(400)
    documents_too = page_of([read_document(b'"old document"', json.dumps(old_document).encode())], position=position(2))
    write(client, live, buried(30.1, "old"), buried(29.9, "young"), documents_too, page(3, "newest"))
    (report,) = retire.retire(EntityIndexes(client, entity(name)), dead, now=NOW)
    assert report.purged == 1
    assert set(documents(client, live)) == {"young", "old document", "newest"}


def test_the_highest_position_stays(client: Client, locations: Entity) -> None:
    """By it a source that was put back is recognised: a delete may have been the last that the index heard of."""
    live = serve(client, locations)
    write(client, live, page(1, "a"), buried(40, "b", at=2), buried(40, "c", at=3))
    retire.retire(EntityIndexes(client, locations), dead, now=NOW)
    assert set(documents(client, live)) == {"a", "c"}
    assert Index(client, live).highest_position() == position(3)


def test_a_document_that_is_written_between_search_and_delete_stays(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    live = serve(client, locations)
    write(client, live, buried(40, "a", "b", "c", "d"), page(2, "x"))

    def others() -> None:
        write(client, live, page(3, "a", name="back"), buried(0, "b", at=3))
        client.request("DELETE", f"/{live}/_doc/c")

    race = proxy.before(BULK, others)
    (report,) = retire.retire(EntityIndexes(faulty, locations), dead, now=NOW)
    assert (race.hits, report.purged) == (1, 1)
    assert living(client, live) == {"a": {"name": "back"}, "x": {}}
    assert set(documents(client, live)) == {"a", "b", "x"}


def test_after_the_purge_a_late_older_event_is_kept_out_no_more(client: Client, locations: Entity) -> None:
    """The price of forgetting, and why the policy may not go below 15 days: nothing older is on its way after that."""
    live, late = serve(client, locations), page(1, "a", name="of long ago")
    write(client, live, buried(40, "a", at=2), page(3, "x"), late)
    assert set(living(client, live)) == {"x"}
    retire.retire(EntityIndexes(client, locations), dead, now=NOW)
    write(client, live, late)
    assert set(living(client, live)) == {"a", "x"}


def test_every_member_is_purged_also_one_that_is_being_built(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    members = [blue, serve(client, locations, "live", blue), make_index(client, locations, "green")]
    for index in members:
        for each in (buried(40, "old"), buried(1, "young"), page(2, "x")):
            write(client, index, each)
    report = retire.retire(EntityIndexes(client, locations), lambda _: True, now=NOW)
    assert {line.index: line.purged for line in report} == dict.fromkeys(members, 1)
    assert all(set(documents(client, index)) == {"young", "x"} for index in members)


def test_a_purge_while_tombstones_are_copied_loses_nothing(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    """What is due is purged from blue and not copied; a key that is back in green stays."""
    blue, green = serve(client, locations), make_index(client, locations, "green")
    write(client, blue, buried(40, "a", "back"), buried(1, "young"), page(2, "x"))
    write(client, green, page(3, "back", "x"))
    proxy.before(BULK, lambda: purge.purge(EntityIndexes(client, locations), blue, purge.cutoff(NOW)))
    plan = reindex.ReindexPlan("green", blue, SOURCE["epoch"], SOURCE["identity"])  # type: ignore[arg-type]
    reindex.Reindex(EntityIndexes(faulty, locations), plan, green).copy_tombstones()
    assert set(documents(client, blue)) == {"young", "x"}
    assert set(documents(client, green)) == {"young", "back", "x"}
    retire.retire(EntityIndexes(client, locations), lambda _: True, now=NOW)
    assert set(documents(client, green)) == {"young", "back", "x"}
    assert set(living(client, green)) == {"back", "x"}


@pytest.mark.parametrize("kind", ["blocked", "red"])
def test_a_member_that_refuses_writes_is_passed_over(client: Client, locations: Entity, kind: str) -> None:
    live = serve(client, locations)
    unwritable = (
        make_index(client, locations, "unwritable")
        if kind == "blocked"
        else make_red_index(client, locations, "unwritable")
    )
    write(client, live, buried(40, "a"), page(2, "x"))
    if kind == "blocked":
        write(client, unwritable, buried(40, "a"), page(2, "x"))
        client.request("PUT", f"/{unwritable}/_block/write")
    for dry_run in (True, False):
        report = {
            line.index: line
            for line in retire.retire(EntityIndexes(client, locations), lambda _: True, dry_run=dry_run, now=NOW)
        }
        assert f"not purged: it is {kind}" in report[unwritable].why
        assert (report[live].purged, report[unwritable].purged) == (1, 0)


def test_a_block_or_a_deletion_in_the_middle(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    """What is deleted needs no purge; what is blocked is an error, after the others were purged."""
    live = serve(client, locations)
    green = make_index(client, locations, "green")
    for index in (live, green):
        write(client, index, buried(40, "a"), page(2, "x"))
    proxy.before(rf"POST /{green}/_bulk\?timeout", lambda: client.request("PUT", f"/{green}/_block/write"))
    with pytest.raises(RequestRejected, match="does not take writes"):
        retire.retire(EntityIndexes(faulty, locations), lambda _: True, now=NOW)
    assert set(documents(client, live)) == {"x"}
    client.request("PUT", f"/{green}/_settings", body={"index.blocks.write": None})
    proxy.before(rf"POST /{green}/_bulk\?timeout", lambda: aliases.delete(EntityIndexes(client, locations), green))
    report = {
        line.index: line.purged for line in retire.retire(EntityIndexes(faulty, locations), lambda _: True, now=NOW)
    }
    assert report == {live: 0, green: 0}
    assert names(client, locations) == [live]


def busy(sent: Request, _: Any) -> Answer:
    """Every item is refused, as by a node whose queue is full."""
    item = {"delete": {"status": 429, "error": {"type": "rejected_execution_exception", "reason": "queue is full"}}}
    return Answer(200, json.dumps({"errors": True, "items": [item] * sent.body.count(b"\n")}).encode())


@pytest.mark.parametrize("fault", [busy, lambda *_: Answer(429, b"{}"), lambda *_: None])
def test_what_was_refused_for_the_moment_is_sent_again(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    fault: Callable[..., Answer | None],
) -> None:
    live = serve(client, locations)
    write(client, live, buried(40, "a", "b"), page(2, "x"))
    failed = proxy.add(BULK, fault)
    (report,) = retire.retire(EntityIndexes(faulty, locations), dead, now=NOW)
    assert (failed.hits, report.purged) == (1, 2)
    assert set(documents(client, live)) == {"x"}


def test_a_lost_answer_is_reconciled_by_sending_again(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    live = serve(client, locations)
    write(client, live, buried(40, "a", "b"), page(2, "x"))
    proxy.lose_answer(BULK)
    (report,) = retire.retire(EntityIndexes(faulty, locations), dead, now=NOW)
    assert report.purged == 0, "they were gone when it asked again"
    assert set(documents(client, live)) == {"x"}


def test_patience_ends(faulty: Client, proxy: OpenSearchProxy, locations: Entity) -> None:
    live = serve(faulty, locations)
    write(faulty, live, buried(40, "a"), page(2, "x"))
    proxy.add(BULK, busy, times=None)
    with pytest.raises(IndexUnavailable, match="queue is full"):
        purge.purge(EntityIndexes(faulty, locations), live, purge.cutoff(NOW), patience=0.5)


def test_many_tombstones_need_no_more_memory_than_some(client: Client, locations: Entity) -> None:
    live = serve(client, locations)
    peaks = []
    for many in (6_000, 30_000):
        for at in range(0, many, 6_000):
            write(client, live, buried(40, *(f"location {n}" for n in range(at, at + 6_000))))
        write(client, live, page(2, "x"))
        tracemalloc.start()
        assert purge.purge(EntityIndexes(client, locations), live, purge.cutoff(NOW)) == many
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert set(documents(client, live)) == {"x"}
    assert peaks[1] < peaks[0] * 1.5, peaks
