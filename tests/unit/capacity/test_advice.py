"""What is advised, in numbers that can be checked by hand."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from searchsync import alarms, config
from searchsync.capacity import advice
from searchsync.capacity.advice import GB, GIB, LARGE, TENANT, TOO_LARGE
from searchsync.capacity.curve import curve
from searchsync.capacity.forecast import Point
from searchsync.capacity.outlook import Outlook, Reached, daily, look
from searchsync.capacity.room import Room
from searchsync.capacity.sizes import Size
from searchsync.cluster.disk import Disk, most_used
from searchsync.errors import BadParams

ROWS, POLICY = alarms.table(), config.capacity()
SIZE = Size(
    entity="orders", index="orders-1", documents=30_000_000, tombstones=0, shards=1, copies=2, members=2,
    routing_shards=1024, bytes=30 * GIB, largest_shard_bytes=30 * GIB, tenants={},
)  # fmt: skip
TODAY = date(2026, 6, 30)


def sized(gib: float, shards: int = 1, routing: int = 1024) -> Size:
    each = int(gib / shards * GIB)
    return replace(
        SIZE, shards=shards, bytes=each * shards, largest_shard_bytes=each, routing_shards=routing,
        documents=int(gib * 1_000_000),
    )  # fmt: skip


def growing(size: Size, per_day: float = 0.0, days: int = 60) -> Outlook:
    """An index that grew by so many GiB a day."""
    each = size.documents - per_day * size.documents / (size.bytes / GIB) * (days - 1)
    step = (size.documents - each) / (days - 1)
    points = [Point(TODAY - timedelta(days=days - 1 - day), each + step * day) for day in range(days)]
    return look(size, points, POLICY.horizon_days, {})


def unknown(size: Size) -> Outlook:
    return look(size, [Point(TODAY, size.documents)], POLICY.horizon_days, {})


def only(outlook: Outlook, **options: int) -> advice.Advice:
    (found,) = advice.of_index(outlook, ROWS, POLICY, **options)
    return found


@pytest.mark.parametrize(
    ("largest", "alarm", "urgent"),
    [(39.9, None, False), (40.1, LARGE, False), (49.9, LARGE, False), (50.1, TOO_LARGE, True)],
)
def test_forty_gigabytes_are_planned_and_fifty_acted_on(largest: float, alarm: str | None, urgent: bool) -> None:
    size = replace(SIZE, bytes=int(largest * GB), largest_shard_bytes=int(largest * GB))
    found = advice.of_index(unknown(size), ROWS, POLICY)
    assert [(one.alarm, one.urgent) for one in found] == ([(alarm, urgent)] if alarm else [])


@pytest.mark.parametrize(
    ("outlook", "number"),
    [
        (unknown(sized(40)), 2),  # 20 GiB each
        (unknown(sized(95)), 4),  # 23.75 each
        (growing(sized(40), 0.1), 2),  # 58 GiB in 180 days: 29 each
        (growing(sized(40), 0.2), 3),  # 76 GiB: 25.3 each
        (growing(sized(40), 0.5), 4),  # 130 GiB would be 5, but then one has less than 10 GiB today
        (growing(sized(190, shards=5), 0.0), 7),  # 27.1 each
        (growing(sized(40), -0.1), 2),  # it shrinks: never larger than 30 today
    ],
)
def test_shards_have_ten_to_thirty_gib_until_the_horizon(outlook: Outlook, number: int) -> None:
    found = only(outlook)
    assert (found.dag_id, found.parameters) == ("orders_reindex", {"number_of_shards": number})
    assert f"Reindex orders with {number} shards" in found.text
    assert 10 <= outlook.size.bytes / number / GIB <= 30


def test_an_uneven_index_gets_more_shards_than_it_has() -> None:
    """As many as before would be made as uneven as before."""
    uneven = replace(sized(60, shards=3), largest_shard_bytes=45 * GIB)
    assert only(unknown(uneven)).parameters == {"number_of_shards": 4}


def test_a_number_does_not_go_down_while_it_waits_for_somebody() -> None:
    """The end of an interval moves a little each day: advice that changes daily is followed by nobody."""
    outlook = growing(sized(40), 0.1)
    assert only(outlook).parameters == {"number_of_shards": 2}
    assert only(outlook, before=3).parameters == {"number_of_shards": 3}
    assert only(outlook, before=9).parameters == {"number_of_shards": 4}, "but not below 10 GiB each"


def test_a_split_is_named_where_the_ladder_has_one() -> None:
    assert "A split could make 10 shards" in only(unknown(sized(200, shards=5, routing=640))).text
    assert "A split could make 2 shards" in only(unknown(sized(45))).text
    assert "No split does it: 5 shards can be split into 10, 20." in only(unknown(sized(1_700, 5, routing=20))).text
    assert "5 shards can be split into no others." in only(unknown(sized(210, shards=5, routing=5))).text


def test_a_tenant_of_ten_million_documents_gets_its_own_index() -> None:
    size = replace(sized(20), tenants={"acme": 10_000_001, "globex": 10_000_000})
    found = only(unknown(size))
    assert (found.alarm, found.about, found.dag_id, found.urgent) == (TENANT, "orders acme", "", False)
    assert "10,000,001" in found.text


def room(free: float, needed: float, full: Reached | None = None) -> Room:
    return Room(3, 300 * GB, 200 * GB, "85%", int(free * GB), int(needed * GB), full)


def test_the_disks_are_said_before_a_reindex_does_not_fit() -> None:
    assert advice.of_disk(room(50, 40), ROWS) == []
    assert advice.of_disk(room(50, 40, Reached(10, 31, None)), ROWS) == []
    (soon,) = advice.of_disk(room(50, 40, Reached(10, 29, None)), ROWS)
    assert soon.text.startswith("In 29 days a reindex no longer fits")
    (now,) = advice.of_disk(room(50, 60, Reached(0, 0, 0)), ROWS)
    assert now.text.startswith("A reindex does not fit")


def test_what_is_told_is_new_other_urgent_or_over() -> None:
    planned, urgent = only(unknown(sized(40))), only(unknown(sized(60)))
    assert advice.news([], [planned]) == ([planned], [])
    assert advice.news([planned.as_dict()], [planned]) == ([], [])
    assert advice.news([urgent.as_dict()], [urgent]) == ([urgent], [])
    assert advice.news([planned.as_dict()], [urgent]) == ([urgent], [])
    more = replace(planned, parameters={"number_of_shards": 5})
    assert advice.news([planned.as_dict()], [more]) == ([more], [])
    assert advice.news([urgent.as_dict()], []) == ([], ["orders"])


def test_a_swap_is_no_growth() -> None:
    """A new index has no deleted documents and other segments: its bytes fall, and no document has gone."""
    days = [TODAY - timedelta(days=40 - day) for day in range(41)]
    outlook = look(sized(20), [Point(day, 20_000_000) for day in days], POLICY.horizon_days, {})
    assert outlook.bytes_after(180).expected == pytest.approx(20 * GIB)
    assert outlook.shard_reaches(50 * GB) == Reached(None, None, None)
    smaller = replace(outlook, size=replace(outlook.size, bytes=12 * GIB, largest_shard_bytes=12 * GIB))
    assert smaller.bytes_after(180).expected == pytest.approx(12 * GIB)


def test_a_limit_is_reached_when_the_line_is_there() -> None:
    outlook = growing(sized(20), 0.25)
    reached = outlook.shard_reaches(40 * GIB)
    assert reached is not None
    assert reached.expected == 80
    assert outlook.shard_reaches(200 * GIB) == Reached(None, None, None)
    assert unknown(sized(20)).shard_reaches(40 * GIB) is None


def test_of_several_looks_on_a_day_the_last_counts() -> None:
    counts = [(TODAY - timedelta(days=1), 5), (TODAY, 7), (TODAY, 9)]
    assert daily(counts) == [Point(TODAY - timedelta(days=1), 5), Point(TODAY, 9)]


@pytest.mark.parametrize(
    ("watermark", "used"), [("85%", 850), ("0.85", 850), ("150b", 850), ("1kb", 0), ("100%", 1000), ("0.5GB", 0)]
)
def test_a_watermark_is_a_share_or_what_must_be_free(watermark: str, used: int) -> None:
    assert most_used(watermark, 1000) == used
    assert Disk("a", 1000, 400).below(watermark) == used - 600


@pytest.mark.parametrize("watermark", ["", "much", "5%%", "gb"])
def test_what_is_no_watermark_is_said(watermark: str) -> None:
    with pytest.raises(BadParams, match="is no watermark"):
        most_used(watermark, 1000)


def test_the_curve_needs_no_network_and_shows_its_interval(tmp_path: Path) -> None:
    assert curve(unknown(sized(20))) == ""
    drawn = curve(growing(sized(20), 0.25))
    assert drawn.count("<circle") == 60
    assert "<polygon" in drawn
    assert "http" not in drawn
