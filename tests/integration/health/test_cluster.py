"""What is wrong with a real cluster is seen, with the reason; on one that is well, nothing is."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local import opensearch as local_opensearch
from local import processes
from searchsync.catalog import CATALOG
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.health import cluster, shards
from searchsync.health.cluster import Searches
from searchsync.health.gather import gather
from searchsync.health.reading import Reading
from searchsync.health.verdict import State, Verdict, judge
from tests import calls
from tests.steps import make_index, until

NOWHERE = {"settings": {"number_of_replicas": 0, "index.routing.allocation.require.place": "nowhere"}}
WATERMARKS = "cluster.routing.allocation.disk"


def looked(client: Client, searches: Searches | None = None) -> Mapping[str, Verdict]:
    readings = gather([*cluster.looks(lambda: client, searches or Searches())])
    return {one.alarm: one for one in judge(readings)}


def wrong(client: Client) -> dict[str, str]:
    """Without what this machine is busy with."""
    found = looked(client)
    assert len(found) == 13
    busy = ("cluster-cpu", "cluster-memory", "cluster-pending", "cluster-slow")
    return {name: one.seen for name, one in found.items() if one.state is not State.GOOD and name not in busy}


def make(client: Client, name: str, body: Any) -> None:
    """Create an index; nobody waits for its shards."""
    client.request("PUT", f"/{name}", body=body, params={"wait_for_active_shards": "0"})


@pytest.fixture
def heeded(client: Client) -> Iterator[Client]:
    """A cluster that heeds the watermarks of its disks."""
    settings = {f"{WATERMARKS}.threshold_enabled": True}
    client.request("PUT", "/_cluster/settings", body={"transient": settings})
    yield client
    client.request("PUT", "/_cluster/settings", body={"transient": {"cluster.*": None}})


def test_nothing_is_wrong_with_a_green_cluster_and_it_is_not_asked_for_an_explanation(client: Client) -> None:
    make_index(client, CATALOG["locations"], "run")
    calls.CALLS.clear()
    assert wrong(client) == {}
    assert "GET /_cluster/allocation/explain" not in {call.what for call in calls.CALLS}


def test_a_red_index_is_seen_with_the_reason(client: Client) -> None:
    make(client, "locations-20260101t000000-00000000", NOWHERE)
    found = wrong(client)
    assert set(found) == {"cluster-red", "cluster-unassigned"}
    assert found["cluster-unassigned"].startswith("primary of shard 0 of locations-20260101t000000-00000000: ")
    assert (
        'node does not match index setting [index.routing.allocation.require] filters [place:"nowhere"]'
        in (found["cluster-unassigned"])
    )


def test_a_yellow_index_is_seen_and_says_which_copy(client: Client) -> None:
    make(client, "members-20260101t000000-00000000", {"settings": {"number_of_replicas": 1, "number_of_shards": 2}})
    found = wrong(client)
    assert set(found) == {"cluster-yellow", "cluster-unassigned"}
    assert found["cluster-unassigned"].startswith("copy of shard 0 of members-20260101t000000-00000000: ")
    assert looked(client)["cluster-unassigned"].value == 2


def test_a_shard_that_was_assigned_or_deleted_meanwhile_has_no_reason(client: Client) -> None:
    """Between the two requests; OpenSearch answers 400 to the first, 404 to the second."""
    make_index(client, CATALOG["locations"], "run")
    (index,) = EntityIndexes(client, CATALOG["locations"]).all()
    assert shards._reason(client, index.name, 0, primary=True) == ""
    assert shards._reason(client, index.name, 7, primary=True) == ""
    assert shards._reason(client, "gone", 0, primary=True) == ""


def test_blocks_are_seen_those_of_an_index_and_that_of_all(client: Client) -> None:
    made = make_index(client, CATALOG["locations"], "run")
    for block in ("read_only_allow_delete", "write"):
        client.request("PUT", f"/{made}/_settings", body={f"index.blocks.{block}": True})
        found = wrong(client)
        assert set(found) == {"cluster-blocked"}, found
        assert found["cluster-blocked"].startswith(f"{made}: ")
        client.request("PUT", f"/{made}/_settings", body={f"index.blocks.{block}": None})
    client.request("PUT", f"/{made}/_settings", body={"index.blocks.read": True})
    assert wrong(client) == {}, "it takes writes"
    client.request("PUT", f"/{made}/_settings", body={"index.blocks.read": None})
    client.request("PUT", "/_cluster/settings", body={"transient": {"cluster.blocks.read_only_allow_delete": True}})
    try:
        assert wrong(client)["cluster-blocked"].startswith("the cluster: cluster read-only / allow delete")
    finally:
        client.request("PUT", "/_cluster/settings", body={"transient": {"cluster.blocks.read_only_allow_delete": None}})


def test_disks_are_held_to_the_watermarks_of_the_cluster(heeded: Client) -> None:
    marks = {f"{WATERMARKS}.watermark.{name}": value for name, value in (("low", "1b"), ("high", "1b"))}
    marks[f"{WATERMARKS}.watermark.flood_stage"] = "1b"
    heeded.request("PUT", "/_cluster/settings", body={"transient": marks})
    assert wrong(heeded) == {}
    marks |= {f"{WATERMARKS}.watermark.low": "900tb"}
    heeded.request("PUT", "/_cluster/settings", body={"transient": marks})
    found = wrong(heeded)
    assert set(found) == {"cluster-disk-low"}
    assert found["cluster-disk-low"].startswith("above 900tb: ")
    heeded.request("PUT", "/_cluster/settings", body={"transient": {f"{WATERMARKS}.threshold_enabled": False}})
    assert wrong(heeded) == {}, "nobody heeds it"


def test_indexes_that_nobody_owns_are_seen(client: Client) -> None:
    make_index(client, CATALOG["locations"], "run")
    for name in ("searchsync-gaps", ".of-a-plugin", "top_queries-2026.01.01"):
        make(client, name, {"settings": {"number_of_replicas": 0}})
    until(lambda: not wrong(client), "each has its shard")
    given_up = {"settings": {"number_of_replicas": 0}, "mappings": {"_meta": {"entity": "shops"}}}
    make(client, "shops-20260101t000000-00000000", given_up)
    for name in ("restored-of-somebody", "searchsync-else"):
        make(client, name, {"settings": {"number_of_replicas": 0}})
    until(lambda: set(wrong(client)) == {"index-unowned"}, "each has its shard")
    found = wrong(client)
    for part in ("shops: 1 indexes are there", "restored-of-somebody: it is no entity's", "searchsync-else"):
        assert part in found["index-unowned"]
    assert looked(client)["index-unowned"].value == 3


def test_searches_are_averaged_since_the_look_before(client: Client) -> None:
    made = make_index(client, CATALOG["locations"], "run")
    before = Searches()
    assert looked(client, before)["cluster-slow"].value == 0, "nothing is known of the time before"
    for _ in range(3):
        client.request("POST", f"/{made}/_search", body={})
    found = looked(client, Searches(before.now))["cluster-slow"]
    assert found.seen.startswith("3 searches of a shard took ")
    restarted = {node: [10**9, 10**9] for node in before.now}
    assert "nobody searched" in looked(client, Searches(restarted))["cluster-slow"].seen


def test_what_the_threads_do_is_text_for_people(client: Client) -> None:
    assert ":::" in cluster.hot_threads(client)


def test_a_server_that_was_killed_is_away_and_everything_else_unknown(mortal: local_opensearch.Server) -> None:
    client = connect(mortal.url)
    assert looked(client)["cluster-away"].value == 0
    processes.stop(mortal.process)
    cluster_looks = [*cluster.looks(lambda: client.until(Deadline.within(2)), Searches())]
    found: list[Reading] = gather(cluster_looks)
    assert {one.alarm: one.value for one in found} == {
        alarm: 1 if alarm == "cluster-away" else None for look in cluster_looks for alarm in look.alarms
    }
    assert all("OpenSearch does not answer" in one.seen for one in found)
