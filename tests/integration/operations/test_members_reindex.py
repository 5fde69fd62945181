"""A reindex of members while the stream goes on writing: nothing is lost, nothing comes back."""

import json
import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import opensearch as local_opensearch
from local.members import generate
from searchsync.cluster import creation, unwritable
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import fingerprints, reconcile
from searchsync.compare.fingerprints import Yardstick
from searchsync.compare.reconcile import Allowed
from searchsync.documents import dynamodb_item
from searchsync.errors import (
    BadConnection,
    BadParams,
    BadSource,
    GreenDiscarded,
    SourceChanged,
    SourceUnavailable,
    StaleSwap,
)
from searchsync.operations import gate, reindex
from searchsync.operations.reindex import Reindex
from searchsync.sources import capacity, dynamodb_table
from searchsync.sources.dynamodb import DynamoSource, Segment
from searchsync.stream import gaps
from searchsync.stream.consumer import Stream
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.faults import OpenSearchProxy, SleepingClock
from tests.members import World, record
from tests.steps import documents, living, make_index, names, rebuild, serve

SEED = 20261121


@pytest.fixture
def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which nothing is on its way when green joins."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)


def expected(world: World) -> dict[str, dict[str, Any]]:
    """The documents that the table stands for."""
    return {key: dynamodb_item.content_of(world.entity, item) for key, item in world.table().items()}


def all_living(world: World, index: str) -> dict[str, dict[str, Any]]:
    """More documents than one search returns."""
    Index(world.client, index).refresh()
    query = {"term": {"sync.deleted": False}}
    hits = Index(world.client, index).scroll(query, source=["*"])
    return {hit["_id"]: {name: v for name, v in hit["_source"].items() if name != "sync"} for hit in hits}


# -- the source


def test_segments_together_hold_every_item_once(world: World) -> None:
    generate(world.aws["dynamodb"], 500)
    for total in (1, 3, 7):
        keys = [line.key for part in world.source.partitions(total) for page in world.source.pages(part)
                for line in page.documents()]  # fmt: skip
        assert len(keys) == len(set(keys)) == 500
    with pytest.raises(BadParams):
        world.source.partitions(0)


def test_a_scan_goes_on_after_the_page_it_was_left_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that was killed would else pay for the whole scan again."""
    generate(world.aws["dynamodb"], 300)
    source = DynamoSource(world.entity, _Limited(world.aws["dynamodb"], 50))
    pages = list(source.pages(Segment(0, 1)))
    assert len(pages) >= 6
    assert pages[-1].resume is None
    rest = source.pages(Segment(0, 1), after=json.loads(json.dumps(pages[2].resume)))
    keys = [line.key for page in [*pages[:3], *rest] for line in page.documents()]
    assert len(keys) == len(set(keys)) == 300


def test_all_reads_of_a_run_keep_below_one_budget(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the prices of the documentation: scans in parallel, reads by key and samples, none beside the others."""
    for n in range(40):
        world.put(f"m-{n}", name="x" * 10_000)
    clock = SleepingClock()
    monkeypatch.setattr(capacity, "time", clock)
    metered = _Limited(world.aws["dynamodb"], 5)
    source = DynamoSource(world.entity, metered, read_units=50)
    list(source.pages(Segment(0, 1)))
    source.fingerprints()
    source.read([f"m-{n}" for n in range(41)])
    list(source.sample())
    assert sum(metered.units) > 400, "40 items of 10 kB, four times"
    assert clock.now == pytest.approx(sum(metered.units[:-1]) / 50), "the next read waits for the one before"


def test_a_throttled_table_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 gives up after four attempts, within two seconds; a load of hours would end with it."""
    world.put("m-1", name="x")
    clock = SleepingClock()
    monkeypatch.setattr(capacity, "time", clock)
    throttled = _Throttled(world.aws["dynamodb"], times=30)
    (page,) = DynamoSource(world.entity, throttled).pages(Segment(0, 1))
    assert page.count == 1
    assert 120 < clock.now < dynamodb_table.PATIENCE_SECONDS
    throttled.times = 1_000
    with pytest.raises(SourceUnavailable, match="Throttling"):
        DynamoSource(world.entity, throttled).read(["m-1"])
    assert clock.now < 2 * dynamodb_table.PATIENCE_SECONDS


class _Throttled:
    """Answers too many requests for so many times."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self.times = times

    def _refuse(self, operation: str) -> None:
        self.times -= 1
        if self.times >= 0:
            answer = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
            raise self._client.exceptions.ClientError(answer, operation)

    def scan(self, **arguments: Any) -> Any:
        self._refuse("Scan")
        return self._client.scan(**arguments)

    def batch_get_item(self, **arguments: Any) -> Any:
        self._refuse("BatchGetItem")
        return self._client.batch_get_item(**arguments)


def test_what_the_stream_brought_since_the_scan_began_is_no_difference(
    world: World, at_once: None, tmp_path: Path
) -> None:
    """A scan of 10 GB takes an hour: at 35 changes a second no gate could allow as many keys to differ."""
    generate(world.aws["dynamodb"], 400)
    index = rebuild(world.client, world.connect, tmp_path)["index"]
    world.put("m-0000007", name="never told")
    world.records()
    changing = _Changing(world)
    reconciled = reconcile.make_equal(
        Index(world.client, index),
        Yardstick(DynamoSource(world.entity, changing)),
        write=reconcile.to_all(EntityIndexes(world.client, world.entity), index),
        allowed=Allowed(1, ""),
        on_rejected=print,
    )
    assert changing.changed > 100
    assert reconciled.unequal == 1, "the one change that the stream did not bring"
    assert all_living(world, index) == expected(world)


class _Changing:
    """After each page of a scan keys are changed, deleted and made, and the stream brings it all at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self.changed = 0

    def scan(self, **arguments: Any) -> Any:
        with self._lock:
            answer = self._world.aws["dynamodb"].scan(**arguments, Limit=20)
            for _ in range(6):
                self.changed += 1
                key = f"m-{20 + self.changed * 37 % 380:07d}"
                if self.changed % 5:
                    self._world.put(key, name=f"changed {self.changed}")
                else:
                    self._world.delete(key)
                self._world.put(f"new-{self.changed}", name="x")
            assert self._world.apply(seconds=30).failed == ""
            return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.aws["dynamodb"], name)


def test_a_read_of_an_item_and_of_none(world: World) -> None:
    world.put("m-1", name="x")
    now = time.time()
    (page,) = world.source.read(["m-1", "m-2"])
    there, gone = page.documents()
    assert (there.deleted, gone.deleted) == (False, True)
    for line in (there, gone):
        second = int(json.loads(line.source)["sync"]["position"][:10])
        assert now - 7 <= second <= now - 4, "five seconds before the answer's Date"


def test_a_poisonous_item_is_rejected_and_counted(world: World) -> None:
    world.put("m-1", name="x", sync={"M": {}})
    world.put("m-2", name="x")
    (page,) = world.source.pages(Segment(0, 1))
    assert ([line.key for line in page.documents()], [bad.id for bad in page.rejected]) == (["m-2"], ["m-1"])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("ResourceNotFoundException", BadSource),
        ("AccessDeniedException", BadConnection),
        ("UnrecognizedClientException", BadConnection),
    ],
)
def test_refusals_name_the_cause(world: World, fault: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=fault):
        DynamoSource(world.entity, _Refusing(world.aws["dynamodb"], fault)).check()


def test_a_table_without_its_stream_is_refused(world: World) -> None:
    """What is changed during the scan would reach nothing."""
    world.aws["dynamodb"].update_table(TableName="members", StreamSpecification={"StreamEnabled": False})
    with pytest.raises(BadSource, match="stream"):
        world.source.check()


def test_another_table_is_not_read(world: World) -> None:
    source = DynamoSource(world.entity, world.aws["dynamodb"], identity="arn:aws:dynamodb:eu-west-1:1:table/members")
    with pytest.raises(SourceChanged):
        source.read(["m-1"])
    with pytest.raises(SourceChanged):
        list(source.pages(Segment(0, 1)))


def test_fingerprints_are_those_of_the_index(world: World, tmp_path: Path, no_fence: None) -> None:
    generate(world.aws["dynamodb"], 400)
    report = rebuild(world.client, world.connect, tmp_path)
    source = world.source
    sums = source.fingerprints()
    assert sums == fingerprints.index_sums(Index(world.client, report["index"]), world.entity)
    some = sorted(sums)[:20]
    assert next(source.hashes([some])) == fingerprints.index_hashes(
        Index(world.client, report["index"]), world.entity, some
    )


# -- the reindex


def test_a_first_reindex_is_the_backfill(world: World, tmp_path: Path, no_fence: None) -> None:
    generate(world.aws["dynamodb"], 1_000)
    report = rebuild(world.client, world.connect, tmp_path, partitions=3)
    assert report["documents"] == 1_000
    assert report["ledger"] == {"read": 1_000, "written": 1_000, "stale": 0, "tombstoned": 0, "rejected": 0}
    assert living(world.client, report["index"]) == expected(world)
    assert min(report["gate"]["smoke"].values()) >= 3, "every smoke query found its samples"
    outcome = world.apply(seconds=60)  # the stream's own history comes after it: all of it is known
    assert (outcome.failed, outcome.parked.total()) == ("", 0)
    assert living(world.client, report["index"]) == expected(world)


def test_a_load_that_was_killed_goes_on_where_it_was(
    world: World, tmp_path: Path, no_fence: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindex, "CHECKPOINT_SECONDS", 0.0)
    generate(world.aws["dynamodb"], 300)
    limited = _Limited(world.aws["dynamodb"], 50)
    plan = reindex.check(
        EntityIndexes(world.client, world.source.entity), world.source, run_id="test", running=lambda _: None
    )
    green = reindex.create_green(EntityIndexes(world.client, world.entity), plan)
    kept = _Kept()

    def attempt(source: DynamoSource, index: str = green) -> Any:
        with Rejections(tmp_path / "rejected") as rejections:
            return reindex.Reindex(EntityIndexes(world.client, source.entity), plan, index).load(
                source, Segment(0, 1), rejections=rejections, checkpoint=kept
            )

    limited.fail_after = 4
    with pytest.raises(KeyboardInterrupt):
        attempt(DynamoSource(world.entity, limited))
    assert kept.value is not None
    assert 0 < kept.value["ledger"]["read"] < 300
    limited.fail_after = None
    limited.scans = 0
    ledger = attempt(DynamoSource(world.entity, limited))
    assert (ledger.read, ledger.written + ledger.stale) == (300, 300)
    assert limited.scans < 6, "not from the beginning"
    assert len(living(world.client, green)) == 300
    kept.value["green"] = "another"
    limited.scans = 0
    assert attempt(DynamoSource(world.entity, limited)).read == 300
    assert limited.scans >= 6, "a checkpoint of another index is none"


def test_the_gate_counts_documents_after_it_reconciled(world: World, tmp_path: Path, no_fence: None) -> None:
    """A person approves this number, and a shrink is decided by it: what was deleted since the scan is not in it."""
    generate(world.aws["dynamodb"], 60)
    plan = reindex.check(
        EntityIndexes(world.client, world.source.entity), world.source, run_id="b", running=lambda _: None
    )
    green = reindex.create_green(EntityIndexes(world.client, world.entity), plan)
    with closing(world.connect(plan)) as source, Rejections(tmp_path / "rejected") as rejections:
        reindex.Reindex(EntityIndexes(world.client, source.entity), plan, green).load(
            source, source.partitions(1)[0], rejections=rejections
        )
        creation.make_searchable(EntityIndexes(world.client, world.entity), green)
        for key in sorted(world.table())[:20]:
            world.delete(key)
        gated = gate.gate(
            Reindex(EntityIndexes(world.client, source.entity), plan, green), source, rejections=rejections
        )
    assert (gated.source, gated.documents, gated.reconciled) == (40, 40, 20)


def test_what_changes_around_the_join_ends_as_the_table_has_it(world: World, tmp_path: Path, no_fence: None) -> None:
    """Delete and create again, before and after green joined, delivered before and after, and again."""
    serve(world.client, world.entity, identity=world.identity)
    for n in range(6):
        world.put(f"m-{n}", name="old")
    before = world.records()
    world.apply(before)
    world.delete("m-1")
    world.delete("m-2")
    world.put("m-2", name="again")
    changes = world.records()
    plan = reindex.check(
        EntityIndexes(world.client, world.source.entity), world.source, run_id="test", running=lambda _: None
    )
    world.apply(changes[:2])
    green = reindex.create_green(EntityIndexes(world.client, world.entity), plan)
    world.delete("m-3")
    world.put("m-3", name="again")
    world.delete("m-4")
    later = world.records()
    with Rejections(tmp_path / "rejected") as rejections:
        reindex.Reindex(EntityIndexes(world.client, world.source.entity), plan, green).load(
            world.source, Segment(0, 1), rejections=rejections
        )
        world.apply(changes)
        reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).copy_tombstones()
        world.apply(before[:3])
        world.apply(later[::-1])
        world.apply(later)
        creation.make_searchable(EntityIndexes(world.client, world.entity), green)
        gate.gate(
            Reindex(EntityIndexes(world.client, world.source.entity), plan, green), world.source, rejections=rejections
        )
    reindex.Reindex(EntityIndexes(world.client, world.entity), plan, green).swap()
    world.apply(before + changes)
    assert living(world.client, green) == expected(world)
    assert living(world.client, str(plan.blue)) == expected(world)
    assert {key for key, doc in documents(world.client, green).items() if doc["sync"]["deleted"]} == {"m-1", "m-4"}


def test_tombstones_of_blue_keep_a_late_event_out_of_green(world: World, tmp_path: Path, no_fence: None) -> None:
    serve(world.client, world.entity, identity=world.identity)
    now = time.time()
    world.apply([record("m-1", now, 2)])
    report = rebuild(world.client, world.connect, tmp_path, allow_shrink=True)
    assert report["tombstones"] == 1
    assert world.apply([record("m-1", now, 1, name="late")]).stale == 2
    assert living(world.client, report["index"]) == {}


def test_the_gate_waits_out_two_reads_within_one_second(world: World, tmp_path: Path, no_fence: None) -> None:
    """Of two reads with one position the first stays; the second is not wrong, and must not fail the gate."""
    world.put("m-1", name="old")
    plan = reindex.check(
        EntityIndexes(world.client, world.source.entity), world.source, run_id="test", running=lambda _: None
    )
    green = reindex.create_green(EntityIndexes(world.client, world.entity), plan)
    with Rejections(tmp_path / "rejected") as rejections:
        reindex.Reindex(EntityIndexes(world.client, world.source.entity), plan, green).load(
            world.source, Segment(0, 1), rejections=rejections
        )
        world.put("m-1", name="new")  # within the second; the stream is behind
        creation.make_searchable(EntityIndexes(world.client, world.entity), green)
        found = gate.gate(
            Reindex(EntityIndexes(world.client, world.source.entity), plan, green), world.source, rejections=rejections
        )
    assert found.reconciled == 1
    assert living(world.client, green)["m-1"]["name"] == "new"


class Writers:
    """The product: puts, deletes and puts again of a few hundred keys, and the stream that delivers it all."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.choose = random.Random(seed)
        self.stop = threading.Event()
        self.written = 0
        self.staleness: list[float] = []
        self.error: BaseException | None = None

    def write(self) -> None:
        hot = [f"m-{n:07d}" for n in range(1, 300)]
        while not self.stop.is_set():
            key = self.choose.choice(hot[:5] if self.choose.random() < 0.3 else hot)
            if self.choose.random() < 0.25:
                self.world.delete(key)
            else:
                self.world.put(key, name=f"name {self.written}")
            self.written += 1
            self.stop.wait(0.004)

    def deliver(self) -> None:
        try:
            while not self.stop.is_set() or self._deliver():
                self._deliver()
                time.sleep(0.02)
        except BaseException as error:
            self.error = error

    def _deliver(self) -> int:
        records = self.world.records()
        for at in range(0, len(records), 100):
            outcome = self.world.apply(records[at : at + 100], seconds=30)
            assert (outcome.failed, outcome.parked.total()) == ("", 0)
            self.staleness.append(time.time() - records[at]["dynamodb"]["ApproximateCreationDateTime"])
        return len(records)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.write), threading.Thread(target=self.deliver)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(60)
        assert self.error is None


def test_a_reindex_under_writes_equals_the_table_exactly(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 members here; `./dev bench stream` does it with 100,000. Seed printed: it decides who writes what."""
    print(f"seed {SEED}")
    generate(world.aws["dynamodb"], 2_000)
    with monkeypatch.context() as patched:
        patched.setattr(reindex, "FENCE_SECONDS", 0)
        blue = rebuild(world.client, world.connect, tmp_path)["index"]
    world.records()  # the table was built by a scan
    writers = Writers(world, SEED)
    with writers.at_work():
        report = rebuild(world.client, world.connect, tmp_path, partitions=2)
    green = report["index"]
    wanted = expected(world)
    assert all_living(world, green) == wanted, f"seed {SEED}"
    assert all_living(world, blue) == wanted, f"seed {SEED}"
    print(f"{writers.written} writes; the worst change was {max(writers.staleness):.1f} s old when it was delivered")


# -- unwritable indexes


def test_an_unwritable_member_is_abandoned_and_the_live_one_never(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue = serve(world.client, world.entity, identity=world.identity)
    green = make_index(world.client, world.entity, "green")
    assert unwritable.evict(EntityIndexes(world.client, world.entity), patience=0) == {}
    world.client.request("PUT", f"/{green}/_block/write")
    world.client.request("PUT", f"/{blue}/_block/write")
    assert unwritable.evict(EntityIndexes(world.client, world.entity), patience=0) == {}, "then green holds up nothing"
    world.client.request("PUT", f"/{blue}/_settings", body={"index.blocks.write": None})
    assert list(unwritable.evict(EntityIndexes(world.client, world.entity), patience=0)) == [green]
    assert names(world.client, world.entity) == [blue]
    with pytest.raises(StaleSwap):
        unwritable.abandon(EntityIndexes(world.client, world.entity), blue)
    with pytest.raises(BadParams):
        unwritable.abandon(EntityIndexes(world.client, world.entity), "members-nothing")


def test_a_member_that_recovers_in_time_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(world.client, world.entity, identity=world.identity)
    green = make_index(world.client, world.entity, "green")
    world.client.request("PUT", f"/{green}/_block/write")

    def heal(_: float) -> None:
        world.client.request("PUT", f"/{green}/_settings", body={"index.blocks.write": None})

    monkeypatch.setattr("searchsync.cluster.unwritable.time.sleep", heal)
    assert unwritable.evict(EntityIndexes(world.client, world.entity), patience=60) == {}
    assert green in EntityIndexes(world.client, world.entity).write_set()


def lose_shards(client: Client, server: local_opensearch.Server, index: str) -> None:
    """The files of an index go from under its node, which notices when it has to open them again."""
    (uuid,) = (found["uuid"] for found in client.request("GET", f"/_cat/indices/{index}", params={"format": "json"}))
    (folder,) = server.folder.glob(f"**/indices/{uuid}")
    cancelled = []
    for shard in client.request("GET", f"/_cat/shards/{index}", params={"format": "json"}):
        shutil.rmtree(folder / shard["shard"])
        which = {"index": index, "shard": int(shard["shard"]), "node": shard["node"]}
        cancelled.append({"cancel": {**which, "allow_primary": True}})
    client.request("POST", "/_cluster/reroute", body={"commands": cancelled})
    assert client.request("GET", f"/_cluster/health/{index}")["status"] == "red"


def test_a_red_green_is_discarded_and_live_writes_go_on(
    world: World, opensearch_server: local_opensearch.Server, tmp_path: Path, no_fence: None
) -> None:
    """It is loaded when it loses its only copy; a change of that moment must reach the live one, and be kept."""
    blue = serve(world.client, world.entity, identity=world.identity)
    world.put("m-0", name="loaded")
    world.apply()
    plan = reindex.check(
        EntityIndexes(world.client, world.source.entity), world.source, run_id="test", running=lambda _: None
    )
    green = reindex.create_green(EntityIndexes(world.client, world.entity), plan)
    with Rejections(tmp_path / "rejected") as rejections:
        reindex.Reindex(EntityIndexes(world.client, world.source.entity), plan, green).load(
            world.source, Segment(0, 1), rejections=rejections
        )
        assert "m-0" in living(world.client, green)
        lose_shards(world.client, opensearch_server, green)
        world.put("m-1", name="x")
        outcome = world.apply(seconds=30)
        assert outcome.failed == ""
        assert living(world.client, blue)["m-1"]["name"] == "x"
        assert list(unwritable.evict(EntityIndexes(world.client, world.entity), patience=0)) == [green]
        with pytest.raises(GreenDiscarded):
            reindex.Reindex(EntityIndexes(world.client, world.source.entity), plan, green).load(
                world.source, Segment(0, 1), rejections=rejections
            )
    assert reindex.discard(EntityIndexes(world.client, world.entity), "test") == []
    assert world.messages() == []


def test_killed_between_two_members_nothing_is_lost(
    world: World, faulty: Client, proxy: OpenSearchProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function dies after the first index took the batch: the redelivery completes the second."""
    blue = serve(world.client, world.entity, identity=world.identity)
    green = make_index(world.client, world.entity, "green")
    world.put("m-1", name="x")
    records = world.records()

    def die(*_: Any, **__: Any) -> Any:
        raise SystemExit("killed")

    proxy.refuse(rf"POST /{green}/_bulk\?timeout", times=None)
    monkeypatch.setattr(writer, "UNWRITABLE_PATIENCE_SECONDS", 0.2)
    with monkeypatch.context() as dying:
        dying.setattr(gaps.NotedBypass, "note", die)  # before it could note that green missed the batch
        with pytest.raises(SystemExit):
            Stream(EntityIndexes(faulty, world.entity), die).apply(records, seconds=30)
    assert "m-1" in living(world.client, blue)
    assert "m-1" not in living(world.client, green)
    world.apply(records)
    assert living(world.client, green) == living(world.client, blue) == expected(world)


class _Limited:
    """A scan in small pages, as a large table has large ones; dies after some of them."""

    def __init__(self, client: Any, limit: int) -> None:
        self._client = client
        self._limit = limit
        self.scans = 0
        self.units: list[float] = []
        self.fail_after: int | None = None

    def scan(self, **arguments: Any) -> Any:
        self.scans += 1
        if self.fail_after is not None and self.scans > self.fail_after:
            time.sleep(0.5)  # what was read before is written meanwhile
            raise KeyboardInterrupt
        answer = self._client.scan(**{"Limit": self._limit, **arguments})
        self.units.append(answer["ConsumedCapacity"]["CapacityUnits"])
        return answer

    def batch_get_item(self, **arguments: Any) -> Any:
        answer = self._client.batch_get_item(**arguments)
        self.units.append(answer["ConsumedCapacity"][0]["CapacityUnits"])
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Refusing:
    """Every call is refused for one reason."""

    def __init__(self, client: Any, code: str) -> None:
        self._error = client.exceptions.ClientError(
            {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "DescribeTable"
        )

    def describe_table(self, **_: Any) -> Any:
        raise self._error


class _Kept:
    """A checkpoint in memory, through JSON as Airflow keeps it."""

    value: Any = None

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> None:
        self.value = json.loads(json.dumps(value))
