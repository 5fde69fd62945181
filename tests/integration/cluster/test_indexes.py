"""Aliases decide what is read and written: none of these calls may ever lose, double or starve the live index."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster import aliases, creation, schema
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
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


def roles(client: Client, entity: Entity) -> dict[str, str]:
    return {index.run_id: index.role for index in EntityIndexes(client, entity).all()}


def alias(client: Client, *actions: dict[str, Any]) -> None:
    """What an operator, or another program, may do by hand."""
    client.request("POST", "/_aliases", body={"actions": list(actions)})


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


def test_create_is_found_again_by_its_build(client: Client, locations: Entity) -> None:
    first = creation.find_or_create(EntityIndexes(client, locations), run_id="run 1", source=SOURCE)
    again = creation.find_or_create(EntityIndexes(client, locations), run_id="run 1", source=SOURCE)
    other = creation.find_or_create(EntityIndexes(client, locations), run_id="run 2", source=SOURCE)
    assert first.name == again.name != other.name
    assert again.meta == first.meta
    assert first.meta["source"] == SOURCE
    assert (first.meta["transform"], first.meta["sql"]) == (1, locations.sql)
    assert abs(datetime.now(UTC) - first.created) < timedelta(minutes=1)
    assert set(EntityIndexes(client, locations).write_set()) == set()


def test_create_whose_answer_was_lost_makes_one_index(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    proxy.lose_answer("PUT /locations-")
    made = creation.find_or_create(EntityIndexes(faulty, locations), run_id="run", source=SOURCE)
    assert names(client, locations) == [made.name]


def test_a_mapping_that_opensearch_refuses_is_named(client: Client, include: Path) -> None:
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["name"]["analyzer"] = "nobody_defined_it"
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping, match=r"mappings/locations.json.*nobody_defined_it"):
        creation.find_or_create(EntityIndexes(client, fresh()), run_id="run", source=SOURCE)
    assert client.request("GET", "/_all", params={"expand_wildcards": "all"}) == {}


def test_fifth_member_is_refused_and_told_what_to_do(client: Client, locations: Entity) -> None:
    members = {make_index(client, locations, f"run {n}") for n in range(4)}
    fifth = make_index(client, locations, "run 5", joined=False)
    with pytest.raises(WriteSetFull, match="indexes abandon NAME") as caught:
        aliases.join(EntityIndexes(client, locations), fifth)
    assert all(name in str(caught.value) for name in members)
    assert set(EntityIndexes(client, locations).write_set()) == members
    aliases.join(EntityIndexes(client, locations), min(members))  # a member may join again


def test_two_joins_at_once_never_leave_five_members(client: Client, locations: Entity) -> None:
    for n in range(3):
        make_index(client, locations, f"member {n}")
    rivals = [make_index(client, locations, f"rival {n}", joined=False) for n in range(2)]
    for _ in range(5):
        failures = at_once(*(lambda name=name: aliases.join(EntityIndexes(client, locations), name) for name in rivals))
        members = EntityIndexes(client, locations).write_set()
        assert len(members) <= aliases.MAX_WRITE_SET
        for name, failure in zip(rivals, failures, strict=True):
            assert (name in members) is (failure is None)
            assert failure is None or isinstance(failure, WriteSetFull)
            aliases.leave(EntityIndexes(client, locations), name)


def test_join_that_finds_itself_the_fifth_steps_back(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    for n in range(3):
        make_index(client, locations, f"member {n}")
    mine = make_index(client, locations, "mine", joined=False)
    proxy.before(ALIASES, lambda: make_index(client, locations, "rival"))
    with pytest.raises(WriteSetFull):
        aliases.join(EntityIndexes(faulty, locations), mine)
    assert len(EntityIndexes(client, locations).write_set()) == 4
    assert mine not in EntityIndexes(client, locations).write_set()


def test_a_load_refuses_an_index_that_is_not_its_runs(client: Client, locations: Entity) -> None:
    mine, other = make_index(client, locations, "mine"), make_index(client, locations, "other")
    assert EntityIndexes(client, locations).check_own(mine, run_id="mine").name == mine
    for name, build in ((other, "mine"), ("locations-20260101t000000-00000000", "mine")):
        with pytest.raises(GreenDiscarded, match="Clear this run from create_green"):
            EntityIndexes(client, locations).check_own(name, run_id=build)
    aliases.leave(EntityIndexes(client, locations), mine)
    with pytest.raises(GreenDiscarded):
        EntityIndexes(client, locations).check_own(mine, run_id="mine")


# -- swap


def test_swap_serves_green_alone_and_feeds_both(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    aliases.verify(EntityIndexes(client, locations), blue)
    green = serve(client, locations, "green", blue)
    aliases.verify(EntityIndexes(client, locations), green)
    assert EntityIndexes(client, locations).live() == green
    assert set(EntityIndexes(client, locations).write_set()) == {blue, green}
    assert roles(client, locations) == {"blue": "rollback candidate", "green": "live"}
    back = make_index(client, locations, "blue")
    aliases.swap(EntityIndexes(client, locations), blue=green, green=back)
    aliases.verify(EntityIndexes(client, locations), back)


def test_readers_see_no_tombstones_and_cannot_write(client: Client, locations: Entity) -> None:
    from tests.steps import tombstones

    blue = serve(client, locations)
    compare_and_set(Index(client, blue), page(1, "1", "2", name="x"), on_rejected=never)
    compare_and_set(Index(client, blue), tombstones(2, "2"), on_rejected=never)
    Index(client, blue).refresh()
    assert client.request("GET", "/locations/_count")["count"] == 1
    with pytest.raises(RequestRejected, match="no write index"):
        client.request("PUT", "/locations/_doc/3", body={"name": "x"})


def test_repeated_swap_changes_nothing(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    green = serve(client, locations, "green", blue)
    before = client.request("GET", "/_alias")
    aliases.swap(EntityIndexes(client, locations), blue=blue, green=green)
    aliases.swap(EntityIndexes(client, locations), blue=None, green=green)
    assert client.request("GET", "/_alias") == before


def test_swap_that_another_run_overtook_is_stale(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    mine = make_index(client, locations, "mine")
    theirs = serve(client, locations, "theirs", blue)
    for seen in (blue, None):
        with pytest.raises(StaleSwap, match=f"{theirs} is live"):
            aliases.swap(EntityIndexes(client, locations), blue=seen, green=mine)
    aliases.verify(EntityIndexes(client, locations), theirs)
    assert roles(client, locations)["mine"] == "building"


def test_swap_overtaken_after_it_looked_is_stale(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    blue = serve(client, locations)
    mine, theirs = make_index(client, locations, "mine"), make_index(client, locations, "theirs")
    proxy.before(ALIASES, lambda: aliases.swap(EntityIndexes(client, locations), blue=blue, green=theirs))
    with pytest.raises(StaleSwap, match=f"{theirs} is live"):
        aliases.swap(EntityIndexes(faulty, locations), blue=blue, green=mine)
    aliases.verify(EntityIndexes(client, locations), theirs)


def test_green_that_was_discarded_is_not_served(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    left = make_index(client, locations, "left")
    aliases.leave(EntityIndexes(client, locations), left)
    gone = make_index(client, locations, "gone")
    aliases.delete(EntityIndexes(client, locations), gone)
    for green in (left, gone):
        with pytest.raises(StaleSwap, match=f"{green} is not in the write set"):
            aliases.swap(EntityIndexes(client, locations), blue=blue, green=green)
    aliases.verify(EntityIndexes(client, locations), blue)


def test_first_swap_of_a_discarded_green_serves_nothing(client: Client, locations: Entity) -> None:
    green = make_index(client, locations)
    aliases.leave(EntityIndexes(client, locations), green)
    with pytest.raises(StaleSwap, match="not in the write set"):
        aliases.swap(EntityIndexes(client, locations), blue=None, green=green)
    assert EntityIndexes(client, locations).live() is None


def test_two_first_swaps_at_once_leave_exactly_one_reader(client: Client, locations: Entity) -> None:
    for attempt in range(4):
        rivals = [make_index(client, locations, f"{attempt} {n}") for n in range(3)]
        failures = at_once(
            *(lambda n=n: aliases.swap(EntityIndexes(client, locations), blue=None, green=n) for n in rivals)
        )
        winners = [name for name, failure in zip(rivals, failures, strict=True) if failure is None]
        assert len(winners) == 1, failures
        assert {type(failure) for failure in failures} == {type(None), StaleSwap}
        aliases.verify(EntityIndexes(client, locations), winners[0])
        for name in rivals:
            client.request("DELETE", f"/{name}")


@pytest.mark.parametrize("then_swapped", [False, True])
def test_first_swap_overtaken_after_it_looked_is_stale(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    then_swapped: bool,
) -> None:
    mine, theirs = make_index(client, locations, "mine"), make_index(client, locations, "theirs")
    live = theirs

    def overtake() -> None:
        nonlocal live
        aliases.swap(EntityIndexes(client, locations), blue=None, green=theirs)
        if then_swapped:
            live = serve(client, locations, "next", theirs)

    proxy.before(ALIASES, overtake)
    with pytest.raises(StaleSwap):
        aliases.swap(EntityIndexes(faulty, locations), blue=None, green=mine)
    aliases.verify(EntityIndexes(client, locations), live)


def test_first_swap_after_the_read_alias_was_removed_by_hand(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    alias(client, {"remove": {"index": blue, "alias": locations.name}})
    green = serve(client, locations, "green")
    aliases.verify(EntityIndexes(client, locations), green)
    alias(client, {"remove": {"index": green, "alias": locations.name}})
    aliases.swap(EntityIndexes(client, locations), blue=None, green=blue)
    aliases.verify(EntityIndexes(client, locations), blue)


def test_swaps_at_random_always_leave_one_reader_that_is_fed(client: Client, locations: Entity) -> None:
    chance = random.Random(SEED)
    live = serve(client, locations)
    for step in range(3):
        rivals = [make_index(client, locations, f"{step} {n}") for n in range(2)]
        discarded = chance.choice(rivals)
        calls: list[Callable[[], object]] = [
            lambda name=name, live=live: aliases.swap(EntityIndexes(client, locations), blue=live, green=name)  # type: ignore[misc]
            for name in rivals
        ]
        calls.append(lambda name=discarded: aliases.delete(EntityIndexes(client, locations), name))  # type: ignore[misc]
        failures = at_once(*calls)
        assert all(isinstance(failure, StaleSwap | None) for failure in failures), (SEED, step, failures)
        serving = EntityIndexes(client, locations).live()
        assert serving in {live, *rivals}, (SEED, step)
        aliases.verify(EntityIndexes(client, locations), serving)
        for name in {live, *rivals} - {serving}:
            aliases.delete(EntityIndexes(client, locations), name)
        live = serving


def test_swap_whose_answer_was_lost_is_decided_by_the_aliases(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    first = make_index(client, locations, "first")
    proxy.lose_answer(ALIASES)
    aliases.swap(EntityIndexes(faulty, locations), blue=None, green=first)
    aliases.verify(EntityIndexes(client, locations), first)
    second = make_index(client, locations, "second")
    proxy.lose_answer(ALIASES)
    aliases.swap(EntityIndexes(faulty, locations), blue=first, green=second)
    aliases.verify(EntityIndexes(client, locations), second)


@pytest.mark.parametrize("status", [None, 503, 429])
def test_swap_that_was_not_applied_may_be_tried_again(
    client: Client,
    faulty: Client,
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
            aliases.swap(EntityIndexes(faulty, locations), blue=blue, green=green)
        assert EntityIndexes(client, locations).live() == blue
        aliases.swap(EntityIndexes(faulty, locations), blue=blue, green=green)
        aliases.verify(EntityIndexes(client, locations), green)
        blue = green


def test_swap_not_acknowledged_in_time_is_decided_by_the_aliases(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    def unacknowledged(_: Request, forward: Forward) -> Answer:
        forward()
        return Answer(200, b'{"acknowledged":false}')

    green = make_index(client, locations)
    proxy.add(ALIASES, unacknowledged)
    aliases.swap(EntityIndexes(faulty, locations), blue=None, green=green)
    aliases.verify(EntityIndexes(client, locations), green)


def test_verify_finds_every_wrong_state(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    green = serve(client, locations, "green", blue)
    name, writers, served = locations.name, locations.write_alias, locations.served_alias
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
            aliases.verify(EntityIndexes(client, locations), green)
        alias(client, mending)
        aliases.verify(EntityIndexes(client, locations), green)
    with pytest.raises(AliasConflict):
        aliases.verify(EntityIndexes(client, locations), blue)


# -- what must never be touched


def test_live_index_is_neither_left_nor_deleted(client: Client, locations: Entity) -> None:
    blue = serve(client, locations)
    with pytest.raises(StaleSwap, match=f"{blue} is live"):
        aliases.leave(EntityIndexes(client, locations), blue)
    with pytest.raises(StaleSwap, match=f"{blue} is live"):
        aliases.delete(EntityIndexes(client, locations), blue)
    alias(
        client,
        {"remove": {"index": blue, "alias": locations.write_alias}},
        {"remove": {"index": blue, "alias": locations.served_alias}},
    )
    with pytest.raises(StaleSwap, match=f"{blue} is live"):
        aliases.delete(EntityIndexes(client, locations), blue)
    assert reindex.discard(EntityIndexes(client, locations), "blue") == []
    assert names(client, locations) == [blue]


@pytest.mark.parametrize("first", [False, True])
def test_discarding_an_index_that_is_being_swapped_in_leaves_it_alone(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    first: bool,
) -> None:
    blue = None if first else serve(client, locations)
    green = make_index(client, locations, "green")
    proxy.before(ALIASES, lambda: aliases.swap(EntityIndexes(client, locations), blue=blue, green=green))
    with pytest.raises(StaleSwap):
        aliases.delete(EntityIndexes(faulty, locations), green)
    aliases.verify(EntityIndexes(client, locations), green)


def test_leaving_whose_answer_was_lost_is_done(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    blue = serve(client, locations)
    green = make_index(client, locations, "green")
    proxy.lose_answer(ALIASES)
    aliases.leave(EntityIndexes(faulty, locations), green)
    assert set(EntityIndexes(client, locations).write_set()) == {blue}


def test_delete_can_be_repeated_and_survives_lost_answers(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    serve(client, locations)
    green = make_index(client, locations, "green")
    for call in (ALIASES, "PUT /.*/_block/write", "DELETE"):
        proxy.lose_answer(call)
    aliases.delete(EntityIndexes(faulty, locations), green)
    aliases.delete(EntityIndexes(faulty, locations), green)
    assert green not in names(client, locations)


# -- states that are not ours


def test_concrete_index_with_the_alias_name_is_refused_with_the_remedy(client: Client, locations: Entity) -> None:
    client.request("PUT", "/locations")
    with pytest.raises(AliasConflict, match="DELETE /locations"):
        EntityIndexes(client, locations).live()
    green = make_index(client, locations)
    with pytest.raises(AliasConflict):
        aliases.swap(EntityIndexes(client, locations), blue=None, green=green)


def test_alias_on_two_indexes_is_refused_with_the_remedy(client: Client, locations: Entity) -> None:
    blue, green = serve(client, locations), make_index(client, locations, "green")
    alias(client, {"add": {"index": green, "alias": locations.name}})
    calls: list[Callable[[], object]] = [
        lambda: EntityIndexes(client, locations).live(),
        lambda: aliases.swap(EntityIndexes(client, locations), blue=blue, green=green),
        lambda: aliases.delete(EntityIndexes(client, locations), blue),
    ]
    for call in calls:
        with pytest.raises(AliasConflict, match="on 2 indexes"):
            call()
    assert set(names(client, locations)) == {blue, green}


def test_indexes_of_others_are_not_ours(client: Client, locations: Entity) -> None:
    others = [
        "locations-old",
        "locations-writers-copy",
        "locations-eu-20260101t000000-0123abcd",
        "x-20260101t000000-0123abcd",
    ]
    for name in others:
        client.request("PUT", f"/{name}")
    mine = make_index(client, locations)
    assert names(client, locations) == [mine]


def test_strange_index_in_our_write_set_is_shown_and_never_swept(client: Client, locations: Entity) -> None:
    serve(client, locations)
    client.request("PUT", "/strange")
    alias(client, {"add": {"index": "strange", "alias": locations.write_alias, "is_hidden": True}})
    assert "strange" in names(client, locations)
    retire.retire(EntityIndexes(client, locations), lambda _: None, now=datetime.now(UTC) + timedelta(days=9))
    assert "strange" in names(client, locations)


# -- retirement


def served_before(client: Client, entity: Entity, hours_ago: list[float]) -> list[str]:
    """Served indexes, newest first, the first of them live; the others left the read alias so many hours ago."""
    found: list[str] = []
    for n, _ in enumerate([0.0, *hours_ago]):
        found.insert(0, serve(client, entity, f"served {n}", found[0] if found else None))
    for name, hours in zip(found[1:], hours_ago, strict=True):
        Index(client, name).stamp_left_read(datetime.now(UTC) - timedelta(hours=hours))
    return found


def test_retire_keeps_the_window_and_one_previous_in_any_case(client: Client, locations: Entity) -> None:
    live, recent, old = served_before(client, locations, [23.9, 24.1])
    report = {line.index: line.action for line in retire.retire(EntityIndexes(client, locations), dead)}
    assert report == {live: "kept", recent: "kept", old: "deleted"}
    assert names(client, locations) == sorted([live, recent])
    later = datetime.now(UTC) + timedelta(days=300)
    assert {line.action for line in retire.retire(EntityIndexes(client, locations), dead, now=later)} == {"kept"}
    aliases.verify(EntityIndexes(client, locations), live)


def test_retire_counts_from_its_own_stamp_when_a_crash_left_it_out(client: Client, locations: Entity) -> None:
    _, kept, unstamped = served_before(client, locations, [1, 2])
    for name in (kept, unstamped):
        Index(client, name).stamp_left_read(None)
    retire.retire(EntityIndexes(client, locations), dead)
    found = {index.name: index.left_read_at for index in EntityIndexes(client, locations).all()}
    assert all(found[name] for name in (kept, unstamped))
    later = datetime.now(UTC) + timedelta(hours=25)
    assert (
        len(
            [
                line
                for line in retire.retire(EntityIndexes(client, locations), dead, now=later)
                if line.action == "deleted"
            ]
        )
        == 1
    )


def test_nothing_is_retired_while_nothing_is_live(client: Client, locations: Entity) -> None:
    found = served_before(client, locations, [30, 40, 50])
    alias(client, {"remove": {"index": found[0], "alias": locations.name}})
    retire.retire(EntityIndexes(client, locations), dead)
    assert len(names(client, locations)) == 4


def test_stamp_keeps_the_rest_of_meta(client: Client, locations: Entity) -> None:
    name = make_index(client, locations)
    before = EntityIndexes(client, locations).all()[0].meta
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    Index(client, name).stamp_left_read(when)
    index = EntityIndexes(client, locations).all()[0]
    assert index.left_read_at == when
    assert {key: value for key, value in index.meta.items() if key != "left_read_at"} == before
    Index(client, name).stamp_left_read(None)
    assert EntityIndexes(client, locations).all()[0].meta == before
    Index(client, "locations-20260101t000000-00000000").stamp_left_read(when)  # deleted meanwhile: no matter


@pytest.mark.parametrize("block", ["read_only", "read_only_allow_delete", "write"])
def test_a_blocked_index_can_be_given_up_and_a_blocked_live_one_stays_blocked(
    client: Client, locations: Entity, block: str
) -> None:
    """A full disk makes indexes read-only: one that cannot leave the write set would hold up all writes for ever."""
    live = serve(client, locations)
    green = make_index(client, locations, "green")
    blocked: dict[str, Any] = {f"index.blocks.{block}": True}
    client.request("PUT", f"/{green}/_settings", body=blocked)
    aliases.delete(EntityIndexes(client, locations), green)
    assert EntityIndexes(client, locations).write_set() == [live]
    client.request("PUT", f"/{live}/_settings", body=blocked)
    try:
        with pytest.raises(StaleSwap):
            aliases.delete(EntityIndexes(client, locations), live)
        settings = client.request("GET", f"/{live}/_settings")[live]["settings"]["index"]
        assert settings["blocks"] == {block: "true"}
    finally:
        client.request("PUT", f"/{live}/_settings", body=dict.fromkeys(blocked))


def test_only_indexes_that_nobody_will_finish_are_abandoned(client: Client, locations: Entity) -> None:
    served = serve(client, locations, "served")
    kept = make_index(client, locations, "kept")
    reindex.discard(EntityIndexes(client, locations), "kept", keep=True)
    builds = {name: make_index(client, locations, name) for name in ("running", "dead", "unknown")}
    assert kept in names(client, locations)
    assert kept not in EntityIndexes(client, locations).write_set()

    def running(build: str) -> bool | None:
        return {"running": True, "unknown": None}.get(build, False)

    def swept(days: float) -> set[str]:
        now = datetime.now(UTC) + timedelta(days=days)
        return {
            line.index
            for line in retire.retire(EntityIndexes(client, locations), running, now=now)
            if line.action == "deleted"
        }

    assert swept(0) == {builds["dead"]}
    assert swept(0.9) == set()
    assert swept(1.1) == {builds["unknown"], kept}
    assert set(names(client, locations)) == {served, builds["running"]}


# -- mapping and settings


NAME = {
    "type": "text", "analyzer": "typed_index", "search_analyzer": "typed_search", "similarity": "typed",
    "index_options": "freqs",
}  # fmt: skip
WITHOUT_SEARCH_ANALYZER = {name: value for name, value in NAME.items() if name != "search_analyzer"}


@pytest.fixture
def searchable(client: Client, locations: Entity) -> str:
    name = make_index(client, locations)
    creation.make_searchable(EntityIndexes(client, locations), name)
    return name


def test_make_searchable_puts_back_what_loading_switched_off(client: Client, locations: Entity) -> None:
    name = make_index(client, locations)
    with pytest.raises(BadMapping, match="refresh_interval"):
        schema.check(EntityIndexes(client, locations), name)
    compare_and_set(Index(client, name), page(1, "1", name="x"), on_rejected=never)
    creation.make_searchable(EntityIndexes(client, locations), name)
    schema.check(EntityIndexes(client, locations), name)
    assert client.request("GET", f"/{name}/_count")["count"] == 1
    settings = client.request("GET", f"/{name}/_settings")[name]["settings"]["index"]
    assert (settings["refresh_interval"], settings["auto_expand_replicas"]) == ("1s", "0-2")


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
    client: Client, locations: Entity, searchable: str, path: str, change: dict[str, Any], named: str
) -> None:
    client.request("PUT", f"/{searchable}/{path}", body=change)
    with pytest.raises(BadMapping, match=named):
        schema.check(EntityIndexes(client, locations), searchable)


def test_file_changed_since_the_index_was_made_is_noticed(client: Client, searchable: str, include: Path) -> None:
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["rate"]["scaling_factor"] = 1000
    body["settings"]["analysis"]["filter"]["beginnings"]["max_gram"] = 15
    body["mappings"]["properties"]["added"] = {"type": "keyword"}
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping) as caught:
        schema.check(EntityIndexes(client, fresh()), searchable)
    for difference in ("rate.scaling_factor", "beginnings.max_gram", "properties.added"):
        assert difference in str(caught.value)


def test_refresh_of_some_shards_is_no_refresh(
    client: Client, faulty: Client, proxy: OpenSearchProxy, searchable: str
) -> None:
    proxy.answer("POST /.*/_refresh", 200, {"_shards": {"total": 2, "successful": 1, "failed": 0}})
    red = Answer(200, json.dumps({"indices": {searchable: {"status": "red"}}}).encode())
    proxy.add("GET /_cluster/health", lambda _, __: red, skip=1)
    with pytest.raises(IndexUnavailable, match="1 of 2 shards"):
        Index(faulty, searchable).refresh()
