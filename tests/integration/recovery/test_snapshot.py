"""The daily snapshot: what is live can be had back, and nothing else is lost for it."""

from datetime import UTC, datetime

import pytest

from searchsync.cluster.client import Client
from searchsync.cluster.snapshots import Repository, good
from searchsync.recovery import snapshot
from searchsync.recovery.records import GOOD

AT = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
RUN = "index_snapshot/manual"


def alive(_: str) -> bool:
    return True


def dead(_: str) -> bool:
    return False


@pytest.fixture
def saved(client: Client, repository: Repository, live: str) -> snapshot.Saved:
    return snapshot.save(client, RUN, AT)


def test_what_is_live_and_the_bookkeeping_are_saved(
    client: Client, repository: Repository, saved: snapshot.Saved, live: str
) -> None:
    record = snapshot.verify(client, RUN, saved)
    (found,) = snapshot.ours(repository)
    assert good(found)
    assert found["include_global_state"] is False
    assert {live, "searchsync-recovery"} <= set(found["indices"])
    assert (record["state"], record["snapshot"]) == (GOOD, found["snapshot"])
    assert found["metadata"] == {"made_by": snapshot.MADE_BY, "run": RUN}
    assert record["details"]["live"]["locations"]["index"] == live
