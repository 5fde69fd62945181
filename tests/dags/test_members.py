"""The members' DAGs run for real, task by task, against the emulator and OpenSearch."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from local.members import generate
from searchsync.catalog import CATALOG
from searchsync.cluster import unwritable
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.config import retention
from searchsync.operations import reindex, retire
from searchsync.sources import export_requests
from tests.exports import Bucket
from tests.members import World
from tests.steps import documents, living, make_index, serve

Slack = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on its way in these tests."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)


def run(dags: dict[str, Any], dag_id: str, **conf: Any) -> Any:
    return dags[dag_id].test(logical_date=None, run_conf=conf or None)


def result(dag_run: Any, task_id: str = "announce") -> Any:
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def test_the_first_reindex_is_the_backfill_and_the_second_keeps_tombstones(
    dags: dict[str, Any], members: World
) -> None:
    generate(members.aws["dynamodb"], 300)
    first = run(dags, "members_reindex", partitions=2, read_units=1_000)
    assert first.state == "success"
    report = result(first)
    assert (report["documents"], report["previous"], report["ledger"]["read"]) == (300, None, 300)
    members.delete("m-0000007")
    members.apply()
    second = run(dags, "members_reindex")
    assert second.state == "success"
    assert (result(second)["documents"], result(second)["tombstones"]) == (299, 1)
    assert members.client.request("POST", "/members/_count")["count"] == 299


def test_a_locations_parameter_is_refused_where_it_means_nothing(dags: dict[str, Any], members: World) -> None:
    serve(members.client, members.entity, identity=members.identity)
    assert run(dags, "locations_reindex", read_units=5).state == "failed"


def test_replay_writes_what_was_parked_and_says_so(dags: dict[str, Any], members: World, slack: Slack) -> None:
    blue = serve(members.client, members.entity, identity=members.identity)
    members.put("m-1", name="x")
    members.send_pointer(members.records())
    done = run(dags, "members_dlq_replay")
    assert done.state == "success"
    assert result(done)["reasons"]["RetryAttemptsExhausted"]["written"] == 1
    assert living(members.client, blue)["m-1"]["name"] == "x"
    assert slack() == [], "nothing for a person to do"


def test_dry_run_from_the_form_changes_nothing(dags: dict[str, Any], members: World) -> None:
    blue = serve(members.client, members.entity, identity=members.identity)
    members.put("m-1", name="x")
    members.send_pointer(members.records())
    report = result(run(dags, "members_dlq_replay", dry_run=True))
    assert (report["dry_run"], report["messages"]) == (True, 1)
    assert documents(members.client, blue) == {}
    assert len(members.messages()) == 1


def test_a_person_is_told_of_what_only_a_person_can_mend(dags: dict[str, Any], members: World, slack: Slack) -> None:
    """A gap or a parked message that nobody hears of is a loss."""
    serve(members.client, members.entity, identity=members.identity)
    members.dead.send(['{"kind": "else"}'])
    members.put("m-1", name="x")
    members.send_pointer(members.records(), batchSize=5)
    assert run(dags, "members_dlq_replay").state == "success"
    (message,) = slack()
    assert "unreadable" in message
    assert "4 records of 2026-01-01T00:00:00Z" in message


def test_replay_fails_at_once_when_there_is_no_index_and_the_queue_is_whole(
    dags: dict[str, Any], members: World, slack: Slack
) -> None:
    members.dead.send(["{}"])
    assert run(dags, "members_dlq_replay").state == "failed"
    assert len(members.messages()) == 1
    assert "members_dlq_replay" in slack()[-1]


def test_an_unknown_parameter_is_refused(dags: dict[str, Any], members: World, slack: Slack) -> None:
    serve(members.client, members.entity, identity=members.identity)
    assert run(dags, "members_dlq_replay", dry=True).state == "failed"


@pytest.mark.parametrize("dag_id", ["members_dlq_replay", "index_retire"])
def test_an_unwritable_member_is_abandoned_with_an_alert(
    dags: dict[str, Any], members: World, slack: Slack, dag_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue = serve(members.client, members.entity, identity=members.identity)
    green = make_index(members.client, members.entity, "green")
    members.client.request("PUT", f"/{green}/_block/write")
    monkeypatch.setattr(unwritable, "evict", partial(unwritable.evict, patience=0))
    assert run(dags, dag_id).state == "success"
    assert EntityIndexes(members.client, members.entity).write_set() == [blue]
    assert green in slack()[-1]


def test_a_dry_run_of_a_replay_abandons_nothing(
    dags: dict[str, Any], members: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(members.client, members.entity, identity=members.identity)
    green = make_index(members.client, members.entity, "green")
    members.client.request("PUT", f"/{green}/_block/write")
    monkeypatch.setattr(unwritable, "evict", partial(unwritable.evict, patience=0))
    assert run(dags, "members_dlq_replay", dry_run=True).state == "success"
    assert green in EntityIndexes(members.client, members.entity).write_set()


def test_a_dry_run_of_index_retire_changes_nothing_and_says_what_it_would_do(
    dags: dict[str, Any], members: World, slack: Slack
) -> None:
    blue = serve(members.client, members.entity, identity=members.identity)
    old = serve(members.client, members.entity, "old", blue, identity=members.identity)
    live = serve(members.client, members.entity, "live", old, identity=members.identity)
    for index, days in ((blue, 3), (old, 2)):
        Index(members.client, index).stamp_left_read(datetime.now(UTC) - timedelta(days=days))
    members.client.request("PUT", f"/{old}/_block/write")
    before = members.client.request("GET", "/_all", params={"expand_wildcards": "all"})
    dag_run = run(dags, "index_retire", dry_run=True)
    assert dag_run.state == "success"
    report = {line["index"]: line for line in dag_run.get_task_instance("retire", map_index=1).xcom_pull("retire")[-1]}
    actions = {name: line["action"] for name, line in report.items()}
    assert actions == {blue: "would be deleted", old: "kept", live: "kept"}
    assert "it is blocked" in report[old]["why"]
    assert members.client.request("GET", "/_all", params={"expand_wildcards": "all"}) == before
    assert slack() == []
    assert run(dags, "index_retire", dry=True).state == "failed"


def test_index_retire_names_what_belongs_to_no_entity(dags: dict[str, Any], members: World) -> None:
    """Its entity's file was deleted: nothing writes to it any more, it is still searched, and nobody would know."""
    live = serve(members.client, members.entity, identity=members.identity)
    body = {"mappings": {"_meta": {"entity": "given_up"}}}
    lost = "given_up-20260101t020000-0123abcd"
    members.client.request("PUT", f"/{lost}", body=body)
    report = {line["index"]: line for line in result(run(dags, "index_retire"))}
    assert {name: line["action"] for name, line in report.items()} == {live: "kept", lost: "kept"}
    assert report[lost]["role"] == "without entity"
    assert f"delete them: DELETE /{lost}" in report[lost]["why"]


def test_an_index_that_cannot_be_saved_fails_the_run_and_says_what_to_do(
    dags: dict[str, Any], members: World, slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue = serve(members.client, members.entity, identity=members.identity)
    old = serve(members.client, members.entity, "old", blue, identity=members.identity)
    serve(members.client, members.entity, "live", old, identity=members.identity)
    for index, days in ((blue, 3), (old, 2)):
        Index(members.client, index).stamp_left_read(datetime.now(UTC) - timedelta(days=days))
    monkeypatch.setattr(retire, "retention", lambda: replace(retention(), save_before_deletion=True))
    assert run(dags, "index_retire").state == "failed"
    assert blue in EntityIndexes(members.client, members.entity).write_set()
    assert "index_retire" in slack()[-1]


@pytest.fixture
def from_exports(members: World, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Members are read from exports. Ask for it before the DAGs: they are made from the entity."""
    monkeypatch.setitem(CATALOG, "members", replace(CATALOG["members"], read_from="export"))
    for module in (reindex, export_requests):
        monkeypatch.setattr(module, "INEXACT_SECONDS", 0)
    monkeypatch.setattr(export_requests, "POLL_SECONDS", 0.05)
    bucket = Bucket(members, "daily")
    monkeypatch.setenv("SEARCHSYNC_MEMBERS_EXPORT_BUCKET", f"{bucket.name}/daily")
    return bucket


def test_a_reindex_from_an_export(from_exports: Bucket, dags: dict[str, Any], members: World) -> None:
    generate(members.aws["dynamodb"], 300)
    dag = dags["members_reindex"]
    assert "SEARCHSYNC_MEMBERS_EXPORT_BUCKET" in dag.doc_md
    order = ["create_green", "export", "partitions", "load", "copy_tombstones"]
    for before, after in pairwise(order):
        assert before in dag.get_task(after).get_flat_relative_ids(upstream=True), f"{after} can run before {before}"
    done = run(dags, "members_reindex", partitions=3)
    assert done.state == "success"
    assert (result(done)["documents"], result(done)["ledger"]["read"]) == (300, 300)
    assert result(done, "export")["items"] == 300
    assert len(living(members.client, result(done)["index"])) == 300


def test_an_export_may_be_named_and_a_wrong_one_is_refused_first(
    from_exports: Bucket, dags: dict[str, Any], members: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(members.aws["dynamodb"], 20)
    first = run(dags, "members_reindex")
    arn = result(first, "export")["arn"]
    before = members.client.request("GET", "/_all", params={"expand_wildcards": "all"})
    wrong = run(dags, "members_reindex", export_arn=f"{arn}0")
    assert wrong.state == "failed"
    assert wrong.get_task_instance("check").state == "failed"
    assert wrong.get_task_instance("create_green").state == "upstream_failed"
    assert members.client.request("GET", "/_all", params={"expand_wildcards": "all"}) == before
    monkeypatch.setattr(export_requests, "INEXACT_SECONDS", 3_600)  # as if the export were an hour old
    old = run(dags, "members_reindex", export_arn=arn)
    assert old.get_task_instance("check").state == "failed", "the stream was turned on later"


def test_an_entity_that_is_scanned_has_neither_the_task_nor_the_parameter(dags: dict[str, Any]) -> None:
    for dag_id in ("members_reindex", "locations_reindex"):
        assert "export" not in dags[dag_id].task_ids
        assert "export_arn" not in dags[dag_id].params
