"""The figures of an entity, each with its limit from ``include/policies/freshness.yaml`` where it has one."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from search_ops.evidence import path_of
from search_ops.indexes_page.model import BAD, GOOD, WARN, EntityView, Fact
from search_ops.indexes_page.words import ago, duration, number, size

if TYPE_CHECKING:
    from searchsync.config import Freshness

_TONES = {"good": GOOD, "warning": WARN, "bad": BAD}


def facts(view: EntityView, now: datetime) -> list[Fact]:
    """Return what is known of an entity beside the table of its indexes."""
    from searchsync.config import freshness

    limits = freshness(view.entity)
    return [
        *_of_live(view, limits, now),
        *_of_queues(view, limits),
        *_of_comparisons(view, limits, now),
        *_of_capacity(view, now),
        *_of_drills(view, now),
    ]


def of_snapshots(recovery: dict[str, Any], now: datetime) -> Iterator[Fact]:
    """Return what ``searchsync.recovery.summary`` says of snapshots."""
    if good := recovery["snapshot"]:
        made = ago(datetime.fromisoformat(good["saved_at"]), now)
        yield Fact("Newest snapshot", f"{good['snapshot']} in {good['repository']}, begun {made}", GOOD)
    else:
        yield Fact("Newest snapshot", "there is none", WARN)
    if (last := recovery["last_snapshot"]) and last["state"] == "bad":
        yield Fact("Last snapshot", f"{last['snapshot']} failed: {last.get('why', '')}", BAD)


def _of_live(view: EntityView, limits: "Freshness", now: datetime) -> Iterator[Fact]:
    if view.rows is None:
        return
    if view.live is None:
        yield Fact("Live", f"nothing is live: {view.entity.name} cannot be searched", BAD)
        return
    yield from _of_freshness(view, limits, now)
    latest = (view.results or [{}])[0]
    lag = latest.get("operations", {}).get("stream_lag_seconds")
    if lag is not None:
        measured = ago(datetime.fromisoformat(latest["at"]), now)
        said = f"{duration(lag)}, measured {measured} ({duration(limits.stream_lag)} are allowed)"
        yield Fact("Behind the stream", said, BAD if lag > limits.stream_lag else GOOD)
    if view.live.gaps:
        first = view.live.gaps[0]
        yield Fact("Gaps", f"{len(view.live.gaps)}, from {first['from']}: {first.get('why', 'the stream forgot')}", BAD)


def _of_freshness(view: EntityView, limits: "Freshness", now: datetime) -> Iterator[Fact]:
    if view.live and view.entity.source == "postgres":
        late = (now - view.live.synced).total_seconds() > limits.hours * 3600
        said = f"has all changes up to {ago(view.live.synced, now)} ({duration(limits.hours * 3600)} are allowed)"
        yield Fact("Freshness", said, BAD if late else GOOD)
    elif found := view.freshness:
        limit = duration(limits.stream_lag)
        after = "" if found.seconds is None else f"a change is found after {found.seconds:.1f} s ({limit} are allowed)"
        at = "" if found.state == "none" else ago(datetime.fromisoformat(found.at), now)
        said = "; ".join(part for part in (after, found.why, at) if part)
        yield Fact("Freshness", said, {"measured": GOOD, "none": WARN}.get(found.state, BAD))


def _of_queues(view: EntityView, limits: "Freshness") -> Iterator[Fact]:
    if (queues := view.queues) is None:
        return
    oldest = "for nobody knows how long" if queues.oldest is None else f"the oldest for {duration(queues.oldest)}"
    is_old = queues.oldest is None or queues.oldest > limits.oldest_message
    waits = f"{number(queues.waiting)} messages, {oldest}" if queues.waiting else "empty"
    tone = BAD if queues.waiting > limits.dead_letters or is_old else WARN if queues.waiting else GOOD
    yield Fact("Dead-letter queue", waits, tone)
    parked = f"{number(queues.parked)} messages wait for a person" if queues.parked else "empty"
    yield Fact("Parked", parked, BAD if queues.parked > limits.parked else GOOD)


def _of_comparisons(view: EntityView, limits: "Freshness", now: datetime) -> Iterator[Fact]:
    if view.results is None:
        return
    if not view.results:
        yield Fact("Last check", "none yet", WARN)
        return
    last, full = view.results[0], view.compared
    kinds = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in (last.get("kinds") or {}).items())
    failed = f": {', '.join(last['failed'])}" if last.get("failed") else ""
    said = f"{last['verdict']}{failed}, {last['level']}, {ago(datetime.fromisoformat(last['at']), now)}"
    dag_id, _, run_id = last["run"].partition("/")
    yield Fact("Last check", said, _TONES.get(last["verdict"], WARN), path_of(dag_id, run_id, "summary.html"))
    if full:
        at = datetime.fromisoformat(full["at"])
        late = (now - at).total_seconds() > limits.comparison * 3600
        counts = f"{full.get('source_documents', 0):,} in the source, {full.get('index_documents', 0):,} in the index"
        differ = f"{full.get('confirmed', 0):,} differ" + (f" ({kinds})" if kinds and full is last else "")
        tone = BAD if full.get("confirmed") else WARN if late else GOOD
        yield Fact("Last comparison", f"{differ}; {counts}; {ago(at, now)}", tone)
    else:
        yield Fact("Last comparison", f"none among the last {len(view.results)} checks", WARN)


def _of_capacity(view: EntityView, now: datetime) -> Iterator[Fact]:
    if (found := view.capacity) is None:
        return
    forecast = found.forecast
    if "documents_per_day" not in forecast:
        grows = f"a forecast needs {forecast['days_needed']} days, {forecast['days']} are there"
    else:
        reached = {int(limit): when["expected"] for limit, when in forecast["shard_reaches"].items()}
        first = min(((days, limit) for limit, days in reached.items() if days is not None), default=None)
        soon = f"a shard has {size(first[1])} in {first[0]} days" if first else "no limit is near"
        grows = f"{forecast['documents_per_day']:+,.0f} documents a day; {soon}"
    said = f"the largest shard has {size(found.largest_shard_bytes)}; {grows}; {ago(found.at, now)}"
    yield Fact("Capacity", said, WARN if found.advice else GOOD)


def _of_drills(view: EntityView, now: datetime) -> Iterator[Fact]:
    if (drill := (view.recovery or {}).get("drills", {}).get(view.entity.name)) is None:
        return
    times = [
        f"{what} {duration(drill[part])}"
        for what, part in (("restored and caught up in", "restore_seconds"), ("reindexed in", "reindex_seconds"))
        if drill.get(part) is not None
    ]
    failed = [f"failed: {drill['why']}"] if drill.get("why") else []
    at = ago(datetime.fromisoformat(drill["at"]), now)
    yield Fact(
        "Last drill", "; ".join([drill["state"], *failed, *times, at]), GOOD if drill["state"] == "good" else BAD
    )
