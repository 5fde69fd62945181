"""What OpenSearch says of itself: status, blocks, disks, memory, load, and indexes that nobody owns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from searchsync.catalog import CATALOG, include_dir
from searchsync.cluster import disk, figures
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import explain_without_entity, without_entity
from searchsync.deadline import Deadline
from searchsync.errors import BadConnection, IndexUnavailable
from searchsync.health import shards
from searchsync.health.reading import Look, Reading

SERVER = "OpenSearch"
ASK_SECONDS = 20.0
"""For one look, with all its attempts."""

DISK_ALARMS = {"low": "cluster-disk-low", "high": "cluster-disk-high", "flood_stage": "cluster-disk-flood"}
"""By watermark, the lowest first."""

SLOW = ("cluster-slow", "cluster-pending", "cluster-cpu", "cluster-memory")
"""Alarms that make somebody ask what the threads are busy with."""

_OF_PLUGINS = (".", "security-auditlog-", "top_queries-")
"""Beginnings of the names of indexes that OpenSearch and its plugins make for themselves."""

_LISTED = 5


@dataclass
class Searches:
    """How many searches there were so far, and how long they took together, by node.

    :ivar before: as the look before had them
    :ivar now: as this look has them; empty when it failed
    """

    before: Mapping[str, Sequence[float]] = field(default_factory=dict)
    now: dict[str, Sequence[float]] = field(default_factory=dict)


def looks(connect: Callable[[], Client], searches: Searches) -> Iterator[Look]:
    """Yield the looks at the cluster.

    :param connect: makes a client
    """

    def asking(ask: Callable[[Client], Iterator[Reading]]) -> Callable[[], Iterator[Reading]]:
        return lambda: ask(connect().until(Deadline.within(ASK_SECONDS)))

    yield Look(("cluster-away",), SERVER, lambda: _away(connect))
    yield Look(("cluster-red", "cluster-yellow", "cluster-pending"), SERVER, asking(_status))
    yield Look(("cluster-unassigned",), SERVER, asking(shards.unassigned))
    yield Look(("cluster-blocked",), SERVER, asking(_blocks))
    yield Look(("cluster-memory", "cluster-cpu"), SERVER, asking(_load))
    yield Look((*DISK_ALARMS.values(),), SERVER, asking(_disks))
    yield Look(("cluster-slow",), SERVER, asking(lambda client: _searches(client, searches)))
    yield Look(("index-unowned",), SERVER, asking(_unowned))


def hot_threads(client: Client) -> str:
    """Return what the threads of all nodes are busy with, as OpenSearch prints it."""
    return client.until(Deadline.within(ASK_SECONDS)).read_text("/_nodes/hot_threads")


def _away(connect: Callable[[], Client]) -> Iterator[Reading]:
    """That it does not answer, or refuses who asks, is what this look finds: not its failure."""
    try:
        connect().until(Deadline.within(ASK_SECONDS)).request("GET", "/_cluster/health")
    except (IndexUnavailable, BadConnection) as error:
        yield Reading("cluster-away", "", 1, str(error))
    else:
        yield Reading("cluster-away", "", 0, "it answers")


def _status(client: Client) -> Iterator[Reading]:
    health = client.request("GET", "/_cluster/health")
    status = str(health["status"])
    for bad in ("red", "yellow"):
        yield Reading(f"cluster-{bad}", "", int(status == bad), f"{status}, of {health['number_of_nodes']} nodes")
    waited = health["task_max_waiting_in_queue_millis"] / 1000
    seen = f"{health['number_of_pending_tasks']} changes of the cluster's state wait, the first for {waited:.1f} s"
    yield Reading("cluster-pending", "", waited, seen)


def _blocks(client: Client) -> Iterator[Reading]:
    """Look at blocks of the whole cluster, and of each index: of metadata, of writes, of a disk that is full."""
    params = {"filter_path": "blocks"}
    blocks = client.request("GET", "/_cluster/state/blocks", params=params).get("blocks", {})
    found = [f"the cluster: {_described(blocks.get('global', {}))}"] if blocks.get("global") else []
    found += [f"{name}: {_described(of)}" for name, of in sorted(blocks.get("indices", {}).items()) if _writes(of)]
    yield Reading("cluster-blocked", "", len(found), _some(found, "nothing is blocked"))


def _writes(of: dict[str, Any]) -> bool:
    return any({"write", "metadata_write"} & set(block["levels"]) for block in of.values())


def _described(of: dict[str, Any]) -> str:
    return ", ".join(sorted({str(block["description"]) for block in of.values()}))


def _load(client: Client) -> Iterator[Reading]:
    nodes = [*client.request("GET", "/_nodes/stats/jvm,os")["nodes"].values()]
    heap, name = max((node["jvm"]["mem"]["heap_used_percent"], node["name"]) for node in nodes)
    yield Reading("cluster-memory", "", heap, f"the heap of {name} is {heap} % full")
    cpu, name = max((node["os"]["cpu"]["percent"], node["name"]) for node in nodes)
    yield Reading("cluster-cpu", "", cpu, f"the processors of {name} are busy for {cpu} %")


def _searches(client: Client, searches: Searches) -> Iterator[Reading]:
    """Average the searches of shards since the look before. A node that was started since then begins anew."""
    answer = client.request("GET", "/_nodes/stats/indices/search")["nodes"]
    for node, of in answer.items():
        searches.now[node] = [of["indices"]["search"]["query_total"], of["indices"]["search"]["query_time_in_millis"]]
    count, took = 0.0, 0.0
    for node, (total, millis) in searches.now.items():
        total_before, millis_before = searches.before.get(node, [total, millis])
        if total > total_before:
            count, took = count + total - total_before, took + millis - millis_before
    average = took / count if count else 0.0
    seen = f"{count:,.0f} searches of a shard took {average:.0f} ms on average" if count else "nobody searched"
    yield Reading("cluster-slow", "", round(average, 1), f"{seen} since the look before")


def _disks(client: Client) -> Iterator[Reading]:
    """Count the nodes whose disk is above each of the watermarks that this cluster heeds."""
    found, marks, heeded = disk.disks(client), disk.watermarks(client), disk.heeds_watermarks(client)
    fullest = max((100 * one.used / one.total for one in found), default=0.0)
    for watermark, alarm in DISK_ALARMS.items():
        above = [one.node for one in found if heeded and one.below(marks[watermark]) < 0]
        seen = f"above {marks[watermark]}: {', '.join(above) or 'none'}; the fullest disk is {fullest:.0f} % full"
        yield Reading(alarm, "", len(above), seen if heeded else "the cluster heeds no watermark")


def _unowned(client: Client) -> Iterator[Reading]:
    """Look for indexes that are no entity's, by name, alias and ``_meta``, and are not our bookkeeping.

    They fill the disk, and nobody writes to them, compares them or deletes them.
    """
    given_up = without_entity(client)
    owned = {seen.index.name for of in figures.indexes_of(client, [*CATALOG.values()]).values() for seen in of}
    owned |= {name for left in given_up.values() for name in left}
    owned |= {file.stem for file in (include_dir() / "mappings").glob("searchsync-*.json")}
    strangers = sorted(name for name in figures.health_of(client).keys() - owned if not name.startswith(_OF_PLUGINS))
    found = [explain_without_entity(entity, left) for entity, left in given_up.items()]
    found += [f"{name}: it is no entity's; whoever made it knows whether it can be deleted" for name in strangers]
    yield Reading("index-unowned", "", len(found), _some(found, "every index is an entity's, or bookkeeping"))


def _some(found: Sequence[str], nothing: str) -> str:
    more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return "; ".join(found[:_LISTED]) + more if found else nothing
