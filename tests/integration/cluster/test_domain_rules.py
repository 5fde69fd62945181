"""What a cluster or a managed domain demands or forbids, said in words that help."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from searchsync.catalog import Entity, include_dir
from searchsync.cluster import aliases, auto_create, creation, schema
from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client, connect_from_environment
from searchsync.cluster.index import Index, state_of
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.errors import AliasConflict, BadConnection, BadMapping, BadParams, IndexUnavailable, RequestRejected
from searchsync.writing import writer
from tests.faults import Answer, OpenSearchProxy
from tests.steps import SOURCE, fresh, make_index, names, never, page, serve

AUTO_CREATE = "action.auto_create_index"
ZONES = "cluster.routing.allocation.awareness"


def put_settings(client: Client, **settings: object) -> None:
    client.request("PUT", "/_cluster/settings", body={"persistent": settings})


# -- indexes that come into being by a write


@pytest.fixture
def auto_created(client: Client) -> Iterator[None]:
    yield
    put_settings(client, **{AUTO_CREATE: None})


@pytest.mark.usefixtures("auto_created")
@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ("true", True),
        ("*", True),
        ("+*", True),
        ("+*,-locations*", True),
        ("-locations-w*,+loc*", True),
        ("locations-2*", True),
        ("false", False),
        ("-locations*,-members*,+*", False),
        (" -locations* , +* ", False),
        ("+.plugin*,logs-*", False),
        ("TRUE", False),
        ("-*", False),
    ],
)
def test_auto_creation_is_decided_as_opensearch_does_it(
    client: Client, locations: Entity, value: str, ours: bool
) -> None:
    put_settings(client, **{AUTO_CREATE: value})
    made, refused = False, set()
    for name in (locations.name, locations.write_alias, "locations-20260101t000000-0123abcd"):
        try:
            client.request("PUT", f"/{name}/_doc/1", body={"a": 1})
            client.request("DELETE", f"/{name}")
            made = True
        except RequestRejected as error:
            refused.add(error.error_type)
    assert (made, refused <= {"index_not_found_exception"}) == (ours, True)
    if not ours:
        auto_create.check(EntityIndexes(client, locations))
        return
    with pytest.raises(AliasConflict, match="late write") as caught:
        auto_create.check(EntityIndexes(client, locations))
    advised = json.loads("{" + str(caught.value).split("{", 1)[1])["persistent"][AUTO_CREATE]
    put_settings(client, **{AUTO_CREATE: advised})
    auto_create.check(EntityIndexes(client, locations))
    client.request("PUT", "/.plugins-own/_doc/1", body={"a": 1})  # others go on


def test_serverless_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("SEARCHSYNC_OPENSEARCH_URL", "https://x.eu-west-1.aoss.amazonaws.com"),
        ("SEARCHSYNC_OPENSEARCH_AWS_SERVICE", "aoss"),
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(BadParams, match=r"Serverless.*managed domain"):
        connect_from_environment()


# -- zones


@pytest.fixture
def zones(client: Client, request: pytest.FixtureRequest) -> Iterator[None]:
    """As a domain with standby sets them; this one node is in no zone, so that no shard is assigned meanwhile."""
    names = {f"{ZONES}.attributes": "zone", f"{ZONES}.force.zone.values": request.param, f"{ZONES}.balance": True}
    put_settings(client, **names)
    yield
    put_settings(client, **dict.fromkeys(names))


@pytest.mark.parametrize("zones", ["a,b"], indirect=True)
def test_a_domain_that_refuses_indexes_without_copies_gets_those_of_the_file(
    client: Client, include: Path, zones: None
) -> None:
    no_wait_for_shards(include, replicas=1)
    entity = fresh()
    name = creation.find_or_create(EntityIndexes(client, entity), run_id="run", source=SOURCE).name
    settings = state_of(client, name, flat=True)[name]["settings"]
    assert (settings["index.number_of_replicas"], settings["index.refresh_interval"]) == ("1", "-1")
    assert creation.find_or_create(EntityIndexes(client, entity), run_id="run", source=SOURCE).name == name
    with pytest.raises(IndexUnavailable, match="allocation/explain"):
        creation.make_searchable(EntityIndexes(client, entity), name, patience=0.1)
    schema.check(EntityIndexes(client, entity), name)


@pytest.mark.parametrize("zones", ["a,b,c"], indirect=True)
def test_a_file_with_too_few_copies_for_the_zones_is_told_the_domains_rule(
    client: Client, include: Path, zones: None
) -> None:
    no_wait_for_shards(include, replicas=1)
    with pytest.raises(BadMapping, match=r"as many copies.*as it has zones.*locations.json"):
        creation.find_or_create(EntityIndexes(client, fresh()), run_id="run", source=SOURCE)
    assert names(client, fresh()) == []
    path = include / "mappings" / "searchsync-gaps.json"
    body = json.loads(path.read_text())
    body["settings"] = {"number_of_replicas": 1}
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping, match=r"as many copies.*searchsync-gaps.json"):
        Bookkeeping(client, "searchsync-gaps").put("1", {})
    no_wait_for_shards(include, replicas=2)
    assert creation.find_or_create(EntityIndexes(client, fresh()), run_id="run", source=SOURCE).name


@pytest.mark.parametrize("zones", ["a,b,c"], indirect=True)
@pytest.mark.parametrize("file", ["locations", "members", "searchsync-gaps", "searchsync-quality"])
def test_production_with_its_three_zones_takes_our_own_files(client: Client, zones: None, file: str) -> None:
    """And one node takes them, too, with as many copies as it can have."""
    body = json.loads((include_dir() / "mappings" / f"{file}.json").read_text())
    client.request("PUT", f"/{file}-tried?wait_for_active_shards=0", body=body)


def no_wait_for_shards(include: Path, *, replicas: int) -> None:
    """A mapping file with so many copies, whose creation does not wait for a node in a zone."""
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["settings"].pop("auto_expand_replicas", None)
    body["settings"] |= {"number_of_replicas": replicas, "index.write.wait_for_active_shards": "0"}
    path.write_text(json.dumps(body))


def test_a_domain_that_creates_no_index_for_the_moment_is_no_fault_of_the_login(
    client: Client, locations: Entity
) -> None:
    put_settings(client, **{"cluster.blocks.create_index": True})
    try:
        indexes = EntityIndexes(client.until(Deadline.within(1.0)), locations)
        with pytest.raises(IndexUnavailable, match="creates no index now"):
            creation.find_or_create(indexes, run_id="run", source=SOURCE)
    finally:
        put_settings(client, **{"cluster.blocks.create_index": None})


# -- permissions, and indexes that vanish


FORBIDDEN = {"type": "security_exception", "reason": "no permissions for [indices:data/write/bulk[s]]"}


def test_a_login_that_may_not_write_is_told_at_once(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    """Fine-grained access control answers 403 for each item: taken for a block, it was waited for, 300 s long."""
    serve(client, locations)
    items = [{"index": {"status": 403, "error": FORBIDDEN}}]
    proxy.answer("POST .*_bulk", 200, {"errors": True, "items": items}, times=None)
    with pytest.raises(BadConnection, match="refuses this login to write"):
        writer.apply(EntityIndexes(faulty, locations), [page(1, "1")], on_rejected=never)


def test_an_index_that_vanishes_before_its_mapping_is_compared_is_named(client: Client, locations: Entity) -> None:
    name = make_index(client, locations)
    aliases.delete(EntityIndexes(client, locations), name)
    with pytest.raises(IndexUnavailable, match=f"{name} is gone"):
        schema.check(EntityIndexes(client, locations), name)


# -- snapshots that are being made


@pytest.fixture
def slow_snapshot(client: Client, locations: Entity, tmp_path: Path) -> Iterator[str]:
    """A served index of which somebody is making a snapshot that takes long."""
    name = serve(client, locations)
    live = serve(client, locations, "live", name)
    assert live != name
    for part in range(4):
        long = "x".join(str(n * 7919 + part) for n in range(40_000))
        writer.compare_and_set(Index(client, name), page(1, str(part), alternate_names=long), on_rejected=never)
    Index(client, name).refresh()
    client.request("POST", f"/{name}/_flush")
    body = {"type": "fs", "settings": {"location": "slow", "max_snapshot_bytes_per_sec": "20kb"}}
    client.request("PUT", "/_snapshot/slow", body=body)
    client.request("PUT", "/_snapshot/slow/one", body={"indices": name})
    yield name
    client.request("DELETE", "/_snapshot/slow/one")
    client.request("DELETE", "/_snapshot/slow")


def test_an_index_that_is_in_a_snapshot_is_deleted_when_that_is_made(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    slow_snapshot: str,
) -> None:
    with pytest.raises(IndexUnavailable, match="a snapshot is being made"):
        aliases.delete(EntityIndexes(client.until(Deadline.within(2.0)), locations), slow_snapshot)
    assert slow_snapshot not in EntityIndexes(client, locations).write_set()
    seen: list[Answer] = []

    def end(_: object, forward: object) -> Answer:
        seen.append(forward())  # type: ignore[operator]
        if len(seen) == 1:
            client.request("DELETE", "/_snapshot/slow/one")  # its end
            client.request("PUT", "/_snapshot/slow/one", body={"indices": "nothing", "ignore_unavailable": True})
        return seen[-1]

    proxy.add(f"DELETE /{slow_snapshot}", end, times=None)
    aliases.delete(EntityIndexes(faulty, locations), slow_snapshot)
    assert [answer.status for answer in seen] == [400, 200]
    assert slow_snapshot not in names(client, locations)
