"""The drill: what it measures is a recovery, and nothing of it is left or was live."""

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.cluster.snapshots import Repository
from searchsync.recovery import drill, measure, report, snapshot
from searchsync.recovery.drill import DrillPlan
from searchsync.recovery.measure import Connect
from searchsync.sources.postgres import PostgresSource
from tests.steps import insert

pytestmark = pytest.mark.usefixtures("at_once")
RUN = "recovery_drill/manual"


def dead(_: str) -> bool:
    return False


@pytest.fixture
def connect(connect_source: Callable[..., PostgresSource]) -> Connect:
    return Connect(connect_source)


@pytest.fixture
def plan(client: Client, repository: Repository, live: str, indexes: EntityIndexes) -> DrillPlan:
    saved = snapshot.save(client, "index_snapshot/1", datetime.now(UTC))
    snapshot.verify(client, "index_snapshot/1", saved)
    return drill.prepare(indexes, RUN, dead)


def test_a_restored_index_is_brought_up_to_date(
    client: Client, indexes: EntityIndexes, plan: DrillPlan, connect: Connect, owner: psycopg.Connection
) -> None:
    owner.execute("DELETE FROM locations WHERE location_id % 10 = 0")
    owner.execute("UPDATE locations SET name = 'x', updated_at = now() WHERE location_id % 10 = 1")
    owner.execute("UPDATE locations SET name = 'unsaid' WHERE location_id % 10 = 2")
    insert(owner, 999_999)
    measured = measure.restore(indexes, plan, connect)
    print(measured)
    assert measured.different == {}
    assert (measured.documents, measured.changed) == (1_801, 601)
    built = measure.build(indexes, plan, connect)
    print(built)
    record = report.judge(plan, {"restore": measured.as_dict(), "reindex": built.as_dict()}, "")
    print(record)
