"""What the build before this one left in a cluster and in a queue is understood: nobody begins anew to upgrade."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import sample_data
from searchsync.catalog import Entity, include_dir
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.quality import history
from searchsync.quality.history import History
from searchsync.sources.postgres import PostgresSource
from searchsync.stream import dead_letters
from searchsync.stream.dead_letters import ParkedMessage
from tests.steps import Connect, living, rebuild

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "recorded" / "2026-11-29.json").read_text(encoding="utf-8")
)
CANDIDATE, LIVE = RECORDED["indexes"]


@pytest.fixture
def left(client: Client, locations: Entity, source: PostgresSource) -> None:
    """Its indexes, as if the table of this test had been theirs."""
    for name, recorded in deepcopy(RECORDED["indexes"]).items():
        recorded["_meta"]["source"]["identity"] = source.origin()
        mappings = {**locations.index_body["mappings"], "_meta": recorded["_meta"]}
        body = {"settings": locations.index_body["settings"], "mappings": mappings, "aliases": recorded["aliases"]}
        client.request("PUT", f"/{name}", body=body)


@pytest.mark.usefixtures("left")
def test_its_indexes_have_their_roles_and_are_gone_on_from(
    client: Client,
    owner: psycopg.Connection[Any],
    locations: Entity,
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    sample_data.generate(owner, 20)
    candidate, live = EntityIndexes(client, locations).all()
    assert (candidate.name, candidate.role, live.name, live.role) == (CANDIDATE, "rollback candidate", LIVE, "live")
    assert live.run_id == "locations_reindex/manual__2026-11-29T21:33:03.269346+00:00"
    assert live.created == datetime(2026, 11, 29, 21, 33, 7, tzinfo=UTC)
    assert live.synced == datetime(2026, 11, 29, 21, 33, 52, tzinfo=UTC)
    assert candidate.left_read_at == datetime(2026, 11, 29, 21, 33, 58, 851_000, tzinfo=UTC)
    report = rebuild(client, connect_source, tmp_path)
    assert (report["previous"], report["documents"]) == (LIVE, 20)
    assert len(living(client, str(report["index"]))) == 20


def test_its_results_of_quality_stay_and_new_ones_are_kept_beside_them(client: Client, locations: Entity) -> None:
    body = json.loads((include_dir() / "mappings" / "searchsync-quality.json").read_text("utf-8"))
    fields = body["mappings"]["properties"]
    for parent, younger in ((fields, "moving"), (fields["kinds"]["properties"], "orphan")):
        del parent[younger]  # the index is as that build made it
    client.request("PUT", f"/{history.INDEX}", body=body)
    old = RECORDED["quality"]
    client.request("PUT", f"/{history.INDEX}/_doc/old", body=old, params={"refresh": "true"})
    assert History(client).last_full(LIVE) == datetime.fromisoformat(old["at"])
    new = {**old, "run": "new", "at": "2026-11-30T00:00:00+00:00", "kinds": {"orphan": 1}, "moving": 2}
    del new["unsettled"]
    History(client).keep(new)
    assert History(client).latest(locations) == [new, old]


def test_its_message_of_the_dead_letter_queue_is_read() -> None:
    found = dead_letters.read(json.dumps(RECORDED["parked_record"]))
    assert isinstance(found, ParkedMessage)
    assert (found.key, found.reason) == ("m-1", "strict_dynamic_mapping_exception")
    assert found.position == "1795987469.0000000000000001000000000000000000000001"
