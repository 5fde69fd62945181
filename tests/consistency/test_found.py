"""Courses of events that the product once got wrong, found while the suite was made."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.stream import gaps
from tests.consistency.stage import staged
from tests.consistency.wire import Forward, Request, Wire
from tests.consistency.writes import blue, reconciled


@pytest.mark.parametrize("skew", [0.5, 1.5])
def test_a_read_is_later_than_the_parking_and_any_clock(client: Client, skew: float) -> None:
    """An event before the one from the future has a stamp that is ahead, by less than the margin.

    A read that is later than the parking alone is below that stamp: its write is stale, and the message would go.
    """
    with staged(client) as stage:
        now = stage.clock.time()
        stage.clock.skip(math.ceil(now) + 0.6 - now)
        stage.table.skew_of_events = lambda: skew
        blue(stage, m1="first")
        stage.deliver(stage.table.put("m1", ahead=7200.0, name="second, stamped two hours ahead"))
        stage.clock.skip(5.6)
        stage.replay()
        reconciled(stage)


def test_a_gap_that_is_noted_while_a_swap_is_stamped(client: Client) -> None:
    """Its message is deleted: if the stamp forgot it, nobody would know that the index may lack changes."""
    gap = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:01:00Z", "records": 1, "shard": "0"}
    with staged(client) as stage:
        blue(stage, m1="first")
        live = EntityIndexes(client, stage.entity).live_or_raise()

        def act(request: Request, forward: Forward) -> Any:
            if request.method == "PUT":
                gaps.note(EntityIndexes(client, stage.entity), gap)
            return forward()

        Index(Wire(client, act).client, live).stamp_left_read(datetime.now(UTC))
        assert [noted.gap for noted in gaps.of_index(Index(client, live))] == [gap]
