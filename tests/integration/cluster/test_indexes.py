"""Aliases decide what is read and written: none of these calls may ever lose, double or starve the live index."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import opensearchpy
import pytest

from searchsync.catalog import Entity
from searchsync.cluster import aliases, indexes, schema
from searchsync.cluster.client import request
from searchsync.errors import (
    AliasConflict,
    BadMapping,
    GreenDiscarded,
    IndexUnavailable,
    RequestRejected,
    StaleSwap,
    WriteSetFull,
)
from searchsync.operations import reindex, retire
from searchsync.writing.writer import compare_and_set
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.steps import SOURCE, fresh, make_index, names, never, page, serve

ALIASES = "POST /_aliases"
SEED = 20_260_101


def dead(_: str) -> bool:
    return False


def roles(client: opensearchpy.OpenSearch, entity: Entity) -> dict[str, str]:
    return {index.build: index.role for index in indexes.of_entity(client, entity)}


def alias(client: opensearchpy.OpenSearch, *actions: dict[str, Any]) -> None:
    """What an operator, or another program, may do by hand."""
    request(client, "POST", "/_aliases", body={"actions": list(actions)})


def at_once(*calls: Callable[[], object]) -> list[Exception | None]:
    """Call all at the same time; what each raised."""
    outcomes: list[Exception | None] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(at: int) -> None:
        barrier.wait()
        try:
            calls[at]()
        except Exception as error:  # handed to the test
            outcomes[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# -- create and join


def test_create_is_found_again_by_its_build(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    first = indexes.find_or_create(client, locations, build="run 1", source=SOURCE)
    again = indexes.find_or_create(client, locations, build="run 1", source=SOURCE)
    other = indexes.find_or_create(client, locations, build="run 2", source=SOURCE)
    assert first.name == again.name != other.name
    assert again.meta == first.meta
    assert first.meta["source"] == SOURCE
    assert (first.meta["transform"], first.meta["sql"]) == (1, locations.sql)
    assert abs(datetime.now(UTC) - first.created) < timedelta(minutes=1)
    assert set(indexes.write_set(client, locations)) == set()


def test_create_whose_answer_was_lost_makes_one_index(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    proxy.lose_answer("PUT /locations-")
    made = indexes.find_or_create(faulty, locations, build="run", source=SOURCE)
    assert names(client, locations) == [made.name]


def test_a_mapping_that_opensearch_refuses_is_named(client: opensearchpy.OpenSearch, include: Path) -> None:
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["name"]["analyzer"] = "nobody_defined_it"
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping, match=r"mappings/locations.json.*nobody_defined_it"):
        indexes.find_or_create(client, fresh(), build="run", source=SOURCE)
    assert request(client, "GET", "/_all", params={"expand_wildcards": "all"}) == {}


def test_fifth_member_is_refused_and_told_what_to_do(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    members = {make_index(client, locations, f"run {n}") for n in range(4)}
    fifth = make_index(client, locations, "run 5", joined=False)
    with pytest.raises(WriteSetFull, match="indexes abandon NAME") as caught:
        aliases.join(client, locations, fifth)
    assert all(name in str(caught.value) for name in members)
    assert set(indexes.write_set(client, locations)) == members
    aliases.join(client, locations, min(members))  # a member may join again


def test_two_joins_at_once_never_leave_five_members(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    for n in range(3):
        make_index(client, locations, f"member {n}")
    rivals = [make_index(client, locations, f"rival {n}", joined=False) for n in range(2)]
    for _ in range(5):
        failures = at_once(*(lambda name=name: aliases.join(client, locations, name) for name in rivals))
        members = indexes.write_set(client, locations)
        assert len(members) <= aliases.MAX_WRITE_SET
        for name, failure in zip(rivals, failures, strict=True):
            assert (name in members) is (failure is None)
            assert failure is None or isinstance(failure, WriteSetFull)
            aliases.leave(client, locations, name)


def test_join_that_finds_itself_the_fifth_steps_back(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    for n in range(3):
        make_index(client, locations, f"member {n}")
    mine = make_index(client, locations, "mine", joined=False)
    proxy.before(ALIASES, lambda: make_index(client, locations, "rival"))
    with pytest.raises(WriteSetFull):
        aliases.join(faulty, locations, mine)
    assert len(indexes.write_set(client, locations)) == 4
    assert mine not in indexes.write_set(client, locations)


def test_a_load_refuses_an_index_that_is_not_its_runs(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    mine, other = make_index(client, locations, "mine"), make_index(client, locations, "other")
    assert indexes.check_own(client, locations, mine, build="mine").name == mine
    for name, build in ((other, "mine"), ("locations-20260101t000000-00000000", "mine")):
        with pytest.raises(GreenDiscarded, match="Clear this run from create_green"):
            indexes.check_own(client, locations, name, build=build)
    aliases.leave(client, locations, mine)
    with pytest.raises(GreenDiscarded):
        indexes.check_own(client, locations, mine, build="mine")


# -- swap


def test_swap_serves_green_alone_and_feeds_both(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue = serve(client, locations)
    aliases.verify_served(client, locations, blue)
    green = serve(client, locations, "green", blue)
    aliases.verify_served(client, locations, green)
    assert indexes.live(client, locations) == green
    assert set(indexes.write_set(client, locations)) == {blue, green}
    assert roles(client, locations) == {"blue": "rollback candidate", "green": "live"}
    back = make_index(client, locations, "blue")
    aliases.swap(client, locations, blue=green, green=back)
    aliases.verify_served(client, locations, back)


def test_readers_see_no_tombstones_and_cannot_write(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    from tests.steps import tombstones

    blue = serve(client, locations)
    compare_and_set(client, blue, page(1, "1", "2", name="x"), on_rejected=never)
    compare_and_set(client, blue, tombstones(2, "2"), on_rejected=never)
    indexes.refresh(client, blue)
    assert request(client, "GET", "/locations/_count")["count"] == 1
    with pytest.raises(RequestRejected, match="no write index"):
        request(client, "PUT", "/locations/_doc/3", body={"name": "x"})


def test_repeated_swap_changes_nothing(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue = serve(client, locations)
    green = serve(client, locations, "green", blue)
    before = request(client, "GET", "/_alias")
    aliases.swap(client, locations, blue=blue, green=green)
    aliases.swap(client, locations, blue=None, green=green)
    assert request(client, "GET", "/_alias") == before


def test_swap_that_another_run_overtook_is_stale(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue = serve(client, locations)
    mine = make_index(client, locations, "mine")
    theirs = serve(client, locations, "theirs", blue)
    for seen in (blue, None):
        with pytest.raises(StaleSwap, match=f"{theirs} is live"):
            aliases.swap(client, locations, blue=seen, green=mine)
    aliases.verify_served(client, locations, theirs)
    assert roles(client, locations)["mine"] == "building"


def test_swap_overtaken_after_it_looked_is_stale(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    blue = serve(client, locations)
    mine, theirs = make_index(client, locations, "mine"), make_index(client, locations, "theirs")
    proxy.before(ALIASES, lambda: aliases.swap(client, locations, blue=blue, green=theirs))
    with pytest.raises(StaleSwap, match=f"{theirs} is live"):
        aliases.swap(faulty, locations, blue=blue, green=mine)
    aliases.verify_served(client, locations, theirs)


def test_green_that_was_discarded_is_not_served(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue = serve(client, locations)
    left = make_index(client, locations, "left")
    aliases.leave(client, locations, left)
    gone = make_index(client, locations, "gone")
    aliases.delete(client, locations, gone)
    for green in (left, gone):
        with pytest.raises(StaleSwap, match=f"{green} is not in the write set"):
            aliases.swap(client, locations, blue=blue, green=green)
    aliases.verify_served(client, locations, blue)


def test_first_swap_of_a_discarded_green_serves_nothing(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    green = make_index(client, locations)
    aliases.leave(client, locations, green)
    with pytest.raises(StaleSwap, match="not in the write set"):
        aliases.swap(client, locations, blue=None, green=green)
    assert indexes.live(client, locations) is None


def test_two_first_swaps_at_once_leave_exactly_one_reader(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    for attempt in range(4):
        rivals = [make_index(client, locations, f"{attempt} {n}") for n in range(3)]
        failures = at_once(*(lambda n=n: aliases.swap(client, locations, blue=None, green=n) for n in rivals))
        winners = [name for name, failure in zip(rivals, failures, strict=True) if failure is None]
        assert len(winners) == 1, failures
        assert {type(failure) for failure in failures} == {type(None), StaleSwap}
        aliases.verify_served(client, locations, winners[0])
        for name in rivals:
            request(client, "DELETE", f"/{name}")


@pytest.mark.parametrize("then_swapped", [False, True])
def test_first_swap_overtaken_after_it_looked_is_stale(
    client: opensearchpy.OpenSearch,
    faulty: opensearchpy.OpenSearch,
    proxy: OpenSearchProxy,
    locations: Entity,
    then_swapped: bool,
) -> None:
    mine, theirs = make_index(client, locations, "mine"), make_index(client, locations, "theirs")
    live = theirs

    def overtake() -> None:
        nonlocal live
        aliases.swap(client, locations, blue=None, green=theirs)
        if then_swapped:
            live = serve(client, locations, "next", theirs)

    proxy.before(ALIASES, overtake)
    with pytest.raises(StaleSwap):
        aliases.swap(faulty, locations, blue=None, green=mine)
    aliases.verify_served(client, locations, live)


def test_first_swap_after_the_read_alias_was_removed_by_hand(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    blue = serve(client, locations)
    alias(client, {"remove": {"index": blue, "alias": locations.name}})
    green = serve(client, locations, "green")
    aliases.verify_served(client, locations, green)
    alias(client, {"remove": {"index": green, "alias": locations.name}})
    aliases.swap(client, locations, blue=None, green=blue)
    aliases.verify_served(client, locations, blue)


def test_swaps_at_random_always_leave_one_reader_that_is_fed(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    chance = random.Random(SEED)
    live = serve(client, locations)
    for step in range(3):
        rivals = [make_index(client, locations, f"{step} {n}") for n in range(2)]
        discarded = chance.choice(rivals)
        calls: list[Callable[[], object]] = [
            lambda name=name, live=live: aliases.swap(client, locations, blue=live, green=name)  # type: ignore[misc]
            for name in rivals
        ]
        calls.append(lambda name=discarded: aliases.delete(client, locations, name))  # type: ignore[misc]
        failures = at_once(*calls)
        assert all(isinstance(failure, StaleSwap | None) for failure in failures), (SEED, step, failures)
        serving = indexes.live(client, locations)
        assert serving in {live, *rivals}, (SEED, step)
        aliases.verify_served(client, locations, serving)
        for name in {live, *rivals} - {serving}:
            aliases.delete(client, locations, name)
        live = serving


def test_swap_whose_answer_was_lost_is_decided_by_the_aliases(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    first = make_index(client, locations, "first")
    proxy.lose_answer(ALIASES)
    aliases.swap(faulty, locations, blue=None, green=first)
    aliases.verify_served(client, locations, first)
    second = make_index(client, locations, "second")
    proxy.lose_answer(ALIASES)
    aliases.swap(faulty, locations, blue=first, green=second)
    aliases.verify_served(client, locations, second)


@pytest.mark.parametrize("status", [None, 503, 429])
def test_swap_that_was_not_applied_may_be_tried_again(
    client: opensearchpy.OpenSearch,
    faulty: opensearchpy.OpenSearch,
    proxy: OpenSearchProxy,
    locations: Entity,
    status: int | None,
) -> None:
    blue = None
    for build in ("first", "second"):
        green = make_index(client, locations, build)
        if status:
            proxy.answer(ALIASES, status, {"error": {"type": "cluster_manager_not_discovered_exception"}})
        else:
            proxy.refuse(ALIASES)
        with pytest.raises(IndexUnavailable):
            aliases.swap(faulty, locations, blue=blue, green=green)
        assert indexes.live(client, locations) == blue
        aliases.swap(faulty, locations, blue=blue, green=green)
        aliases.verify_served(client, locations, green)
        blue = green


def test_swap_not_acknowledged_in_time_is_decided_by_the_aliases(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    def unacknowledged(_: Request, forward: Forward) -> Answer:
        forward()
        return Answer(200, b'{"acknowledged":false}')

    green = make_index(client, locations)
    proxy.add(ALIASES, unacknowledged)
    aliases.swap(faulty, locations, blue=None, green=green)
    aliases.verify_served(client, locations, green)


def test_verify_finds_every_wrong_state(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue = serve(client, locations)
    green = serve(client, locations, "green", blue)
    name, writers, served = locations.name, locations.writers, locations.served
    right = {"index": green, "alias": name, "is_write_index": False, "filter": locations.visible}
    wrong: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"add": {"index": blue, "alias": name}}, {"remove": {"index": blue, "alias": name}}),
        ({"add": {"index": green, "alias": name, "is_write_index": False}}, {"add": right}),
        ({"add": {**right, "is_write_index": True}}, {"add": right}),
        ({"remove": {"index": green, "alias": name}}, {"add": right}),
        (
            {"remove": {"index": green, "alias": writers}},
            {"add": {"index": green, "alias": writers, "is_hidden": True}},
        ),
        ({"remove": {"index": green, "alias": served}}, {"add": {"index": green, "alias": served, "is_hidden": True}}),
    ]
    for breaking, mending in wrong:
        alias(client, breaking)
        with pytest.raises(AliasConflict, match="not as the swap left them"):
            aliases.verify_served(client, locations, green)
        alias(client, mending)
        aliases.verify_served(client, locations, green)
    with pytest.raises(AliasConflict):
        aliases.verify_served(client, locations, blue)


# -- what must never be touched


def test_live_index_is_neither_left_nor_deleted(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue = serve(client, locations)
    with pytest.raises(StaleSwap, match=f"{blue} is live"):
        aliases.leave(client, locations, blue)
    with pytest.raises(StaleSwap, match=f"{blue} is live"):
        aliases.delete(client, locations, blue)
    alias(
        client,
        {"remove": {"index": blue, "alias": locations.writers}},
        {"remove": {"index": blue, "alias": locations.served}},
    )
    with pytest.raises(StaleSwap, match=f"{blue} is live"):
        aliases.delete(client, locations, blue)
    assert reindex.discard(client, locations, "blue") == []
    assert names(client, locations) == [blue]


@pytest.mark.parametrize("first", [False, True])
def test_discarding_an_index_that_is_being_swapped_in_leaves_it_alone(
    client: opensearchpy.OpenSearch,
    faulty: opensearchpy.OpenSearch,
    proxy: OpenSearchProxy,
    locations: Entity,
    first: bool,
) -> None:
    blue = None if first else serve(client, locations)
    green = make_index(client, locations, "green")
    proxy.before(ALIASES, lambda: aliases.swap(client, locations, blue=blue, green=green))
    with pytest.raises(StaleSwap):
        aliases.delete(faulty, locations, green)
    aliases.verify_served(client, locations, green)


def test_leaving_whose_answer_was_lost_is_done(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    blue = serve(client, locations)
    green = make_index(client, locations, "green")
    proxy.lose_answer(ALIASES)
    aliases.leave(faulty, locations, green)
    assert set(indexes.write_set(client, locations)) == {blue}


def test_delete_can_be_repeated_and_survives_lost_answers(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, locations: Entity
) -> None:
    serve(client, locations)
    green = make_index(client, locations, "green")
    for call in (ALIASES, "PUT /.*/_block/write", "DELETE"):
        proxy.lose_answer(call)
    aliases.delete(faulty, locations, green)
    aliases.delete(faulty, locations, green)
    assert green not in names(client, locations)


# -- states that are not ours


def test_concrete_index_with_the_alias_name_is_refused_with_the_remedy(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    request(client, "PUT", "/locations")
    with pytest.raises(AliasConflict, match="DELETE /locations"):
        indexes.live(client, locations)
    green = make_index(client, locations)
    with pytest.raises(AliasConflict):
        aliases.swap(client, locations, blue=None, green=green)


def test_alias_on_two_indexes_is_refused_with_the_remedy(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    blue, green = serve(client, locations), make_index(client, locations, "green")
    alias(client, {"add": {"index": green, "alias": locations.name}})
    calls: list[Callable[[], object]] = [
        lambda: indexes.live(client, locations),
        lambda: aliases.swap(client, locations, blue=blue, green=green),
        lambda: aliases.delete(client, locations, blue),
    ]
    for call in calls:
        with pytest.raises(AliasConflict, match="on 2 indexes"):
            call()
    assert set(names(client, locations)) == {blue, green}


def test_indexes_of_others_are_not_ours(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    others = [
        "locations-old",
        "locations-writers-copy",
        "locations-eu-20260101t000000-0123abcd",
        "x-20260101t000000-0123abcd",
    ]
    for name in others:
        request(client, "PUT", f"/{name}")
    mine = make_index(client, locations)
    assert names(client, locations) == [mine]


def test_strange_index_in_our_write_set_is_shown_and_never_swept(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    serve(client, locations)
    request(client, "PUT", "/strange")
    alias(client, {"add": {"index": "strange", "alias": locations.writers, "is_hidden": True}})
    assert "strange" in names(client, locations)
    retire.retire(client, locations, lambda _: None, now=datetime.now(UTC) + timedelta(days=9))
    assert "strange" in names(client, locations)


# -- retirement


def served_before(client: opensearchpy.OpenSearch, entity: Entity, hours_ago: list[float]) -> list[str]:
    """Served indexes, newest first, the first of them live; the others left the read alias so many hours ago."""
    found: list[str] = []
    for n, _ in enumerate([0.0, *hours_ago]):
        found.insert(0, serve(client, entity, f"served {n}", found[0] if found else None))
    for name, hours in zip(found[1:], hours_ago, strict=True):
        indexes.stamp_left_read(client, name, datetime.now(UTC) - timedelta(hours=hours))
    return found


def test_retire_keeps_the_window_and_one_previous_in_any_case(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    live, recent, old = served_before(client, locations, [23.9, 24.1])
    report = {line["index"]: line["action"] for line in retire.retire(client, locations, dead)}
    assert report == {live: "kept", recent: "kept", old: "deleted"}
    assert names(client, locations) == sorted([live, recent])
    later = datetime.now(UTC) + timedelta(days=300)
    assert {line["action"] for line in retire.retire(client, locations, dead, now=later)} == {"kept"}
    aliases.verify_served(client, locations, live)


def test_retire_counts_from_its_own_stamp_when_a_crash_left_it_out(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    _, kept, unstamped = served_before(client, locations, [1, 2])
    for name in (kept, unstamped):
        indexes.stamp_left_read(client, name, None)
    retire.retire(client, locations, dead)
    found = {index.name: index.left_read_at for index in indexes.of_entity(client, locations)}
    assert all(found[name] for name in (kept, unstamped))
    later = datetime.now(UTC) + timedelta(hours=25)
    assert len([line for line in retire.retire(client, locations, dead, now=later) if line["action"] == "deleted"]) == 1


def test_nothing_is_retired_while_nothing_is_live(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    found = served_before(client, locations, [30, 40, 50])
    alias(client, {"remove": {"index": found[0], "alias": locations.name}})
    retire.retire(client, locations, dead)
    assert len(names(client, locations)) == 4


def test_stamp_keeps_the_rest_of_meta(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    name = make_index(client, locations)
    before = indexes.of_entity(client, locations)[0].meta
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    indexes.stamp_left_read(client, name, when)
    index = indexes.of_entity(client, locations)[0]
    assert index.left_read_at == when
    assert {key: value for key, value in index.meta.items() if key != "left_read_at"} == before
    indexes.stamp_left_read(client, name, None)
    assert indexes.of_entity(client, locations)[0].meta == before
    indexes.stamp_left_read(client, "locations-20260101t000000-00000000", when)  # deleted meanwhile: no matter


@pytest.mark.parametrize("block", ["read_only", "read_only_allow_delete", "write"])
def test_a_blocked_index_can_be_given_up_and_a_blocked_live_one_stays_blocked(
    client: opensearchpy.OpenSearch, locations: Entity, block: str
) -> None:
    """A full disk makes indexes read-only: one that cannot leave the write set would hold up all writes for ever."""
    live = serve(client, locations)
    green = make_index(client, locations, "green")
    blocked: dict[str, Any] = {f"index.blocks.{block}": True}
    request(client, "PUT", f"/{green}/_settings", body=blocked)
    aliases.delete(client, locations, green)
    assert indexes.write_set(client, locations) == [live]
    request(client, "PUT", f"/{live}/_settings", body=blocked)
    try:
        with pytest.raises(StaleSwap):
            aliases.delete(client, locations, live)
        settings = request(client, "GET", f"/{live}/_settings")[live]["settings"]["index"]
        assert settings["blocks"] == {block: "true"}
    finally:
        request(client, "PUT", f"/{live}/_settings", body=dict.fromkeys(blocked))


def test_only_indexes_that_nobody_will_finish_are_abandoned(client: opensearchpy.OpenSearch, locations: Entity) -> None:
    served = serve(client, locations, "served")
    kept = make_index(client, locations, "kept")
    reindex.discard(client, locations, "kept", keep=True)
    builds = {name: make_index(client, locations, name) for name in ("running", "dead", "unknown")}
    assert kept in names(client, locations)
    assert kept not in indexes.write_set(client, locations)

    def running(build: str) -> bool | None:
        return {"running": True, "unknown": None}.get(build, False)

    def swept(days: float) -> set[str]:
        now = datetime.now(UTC) + timedelta(days=days)
        return {
            line["index"] for line in retire.retire(client, locations, running, now=now) if line["action"] == "deleted"
        }

    assert swept(0) == {builds["dead"]}
    assert swept(0.9) == set()
    assert swept(1.1) == {builds["unknown"], kept}
    assert set(names(client, locations)) == {served, builds["running"]}


# -- mapping and settings


NAME = {"type": "text", "analyzer": "typed_index", "search_analyzer": "typed_search", "similarity": "typed"}
WITHOUT_SEARCH_ANALYZER = {name: value for name, value in NAME.items() if name != "search_analyzer"}


@pytest.fixture
def searchable(client: opensearchpy.OpenSearch, locations: Entity) -> str:
    name = make_index(client, locations)
    indexes.make_searchable(client, locations, name)
    return name


def test_make_searchable_puts_back_what_loading_switched_off(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    name = make_index(client, locations)
    with pytest.raises(BadMapping, match="refresh_interval"):
        schema.check(client, locations, name)
    compare_and_set(client, name, page(1, "1", name="x"), on_rejected=never)
    indexes.make_searchable(client, locations, name)
    schema.check(client, locations, name)
    assert request(client, "GET", f"/{name}/_count")["count"] == 1
    settings = request(client, "GET", f"/{name}/_settings")[name]["settings"]["index"]
    assert (settings["refresh_interval"], settings["auto_expand_replicas"]) == ("1s", "0-1")


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("_mapping", {"properties": {"extra": {"type": "keyword"}}}, "'extra' is not in the file"),
        ("_mapping", {"properties": {"name": {**NAME, "fields": {"more": {"type": "keyword"}}}}}, "'name.more'"),
        ("_mapping", {"dynamic": True}, "mappings.dynamic"),
        ("_mapping", {"properties": {"name": WITHOUT_SEARCH_ANALYZER}}, "search_analyzer"),
        ("_settings", {"index": {"refresh_interval": "30s"}}, "refresh_interval"),
        ("_settings", {"index": {"auto_expand_replicas": "false"}}, "auto_expand_replicas"),
    ],
)  # fmt: skip
def test_index_that_is_not_as_its_file_says_is_not_served(
    client: opensearchpy.OpenSearch, locations: Entity, searchable: str, path: str, change: dict[str, Any], named: str
) -> None:
    request(client, "PUT", f"/{searchable}/{path}", body=change)
    with pytest.raises(BadMapping, match=named):
        schema.check(client, locations, searchable)


def test_file_changed_since_the_index_was_made_is_noticed(
    client: opensearchpy.OpenSearch, searchable: str, include: Path
) -> None:
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["rate"]["scaling_factor"] = 1000
    body["settings"]["analysis"]["filter"]["beginnings"]["max_gram"] = 15
    body["mappings"]["properties"]["added"] = {"type": "keyword"}
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping) as caught:
        schema.check(client, fresh(), searchable)
    for difference in ("rate.scaling_factor", "beginnings.max_gram", "properties.added"):
        assert difference in str(caught.value)


def test_refresh_of_some_shards_is_no_refresh(
    client: opensearchpy.OpenSearch, faulty: opensearchpy.OpenSearch, proxy: OpenSearchProxy, searchable: str
) -> None:
    proxy.answer("POST /.*/_refresh", 200, {"_shards": {"total": 2, "successful": 1, "failed": 0}})
    red = Answer(200, json.dumps({"indices": {searchable: {"status": "red"}}}).encode())
    proxy.add("GET /_cluster/health", lambda _, __: red, skip=1)
    with pytest.raises(IndexUnavailable, match="1 of 2 shards"):
        indexes.refresh(faulty, searchable)
