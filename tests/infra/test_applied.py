"""The whole of it, applied for real to the emulator: the product runs on it, and the check sees what somebody breaks.

It is applied once for this file. What is broken is put right again, so the tests do not depend on their order, but for
the last one, which destroys everything.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import cli, infra_server, sample_data
from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local.airflow import aws_environment
from local.errors import LocalError
from local.infra import Infrastructure
from local.paths import ROOT, Home
from local.terraform import TerraformMissing
from searchsync.access import repository
from searchsync.catalog import entity
from searchsync.cli import workflows
from searchsync.config import snapshots
from searchsync.operations import sync
from searchsync.operations.replay import Choice, Replay
from searchsync.preflight.checks import Outcome
from searchsync.preflight.run import is_good
from searchsync.stream.queue import Queue
from searchsync.writing.progress import Rejections
from tests import aws_command, runbooks
from tests.infra.applied import FUNCTION, MEMBERS, Applied
from tests.infra.broken import BROKEN, batch_size, redrive
from tests.steps import emptied, insert

LOCATIONS = entity("locations")
QUEUES = {"DEAD_LETTER": "dlq", "PARKED": "parked"}


@pytest.fixture(scope="module")
def applied(
    servers_dir: Path, opensearch_server: local_opensearch.Server, app: local_postgres.AppDatabase
) -> Iterator[Applied]:
    """Environment dev on an emulator of its own; beside it, OpenSearch without any index."""
    made = Infrastructure(Home(servers_dir, ROOT / "dags"), print)
    try:
        rows = made.up("dev")
    except TerraformMissing as missing:
        pytest.skip(str(missing))
    emptied(opensearch_server)
    yield Applied(made, rows, opensearch_server.url, app.reader_dsn)
    infra_server.stop(made.folder)


@pytest.fixture(scope="module")
def product(applied: Applied, app: local_postgres.AppDatabase, tmp_path_factory: pytest.TempPathFactory) -> Applied:
    """The same with both indexes: of locations with some rows, of members without any."""
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute("TRUNCATE locations")
        sample_data.generate(owner, 200)
    reports = tmp_path_factory.mktemp("reports")
    repository.register(applied.connections.opensearch(), "fs", {"location": snapshots().repository})
    for one in (LOCATIONS, MEMBERS):
        indexes = applied.connections.indexes(one)
        options = workflows.Options(allow_shrink=True)
        connect = partial(applied.connections.to_reindex, one)
        workflows.rebuild(indexes, connect, "test/1", reports, options)
    return applied


# -- what was applied


def test_it_says_what_it_made(applied: Applied) -> None:
    rows = dict(applied.rows)
    assert rows["emulator"] == applied.endpoint
    assert {"network", "data", "stream", "identity"} <= rows.keys()


def test_the_state_is_locked_in_a_versioned_bucket_of_the_account(applied: Applied) -> None:
    s3, bucket = applied.aws("s3"), "searchsync-state-123456789012"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    state = json.load(s3.get_object(Bucket=bucket, Key="searchsync/terraform.tfstate")["Body"])
    assert state["outputs"]["environment"]["value"] == "dev"
    versions = s3.list_object_versions(Bucket=bucket)
    locks = [one for one in versions["DeleteMarkers"] if one["Key"] == "searchsync/terraform.tfstate.tflock"]
    assert locks, "each run took the lock, and gave it back"


def test_a_state_of_another_environment_is_refused_and_nothing_is_changed(applied: Applied) -> None:
    before = applied.mapping()
    with pytest.raises(LocalError, match="belongs to environment dev of account 123456789012, and staging of account"):
        applied.infrastructure.up("staging")
    assert applied.mapping() == before


def test_the_function_is_the_package(applied: Applied) -> None:
    """By the hash that AWS computes of what it got."""
    digest = hashlib.sha256(applied.package("arm64").read_bytes()).digest()
    found = applied.aws("lambda").get_function_configuration(FunctionName=FUNCTION, Qualifier="live")
    assert found["CodeSha256"] == base64.b64encode(digest).decode()


def test_the_check_is_green(product: Applied) -> None:
    results = product.check()
    assert {name: result.seen for name, result in results.items() if not is_good(result)} == {}
    skipped = {name[0] for name, result in results.items() if result.outcome is Outcome.NOT_APPLICABLE}
    of_airflow = {"Airflow pool", "Airflow connection", "Slack"}
    of_the_agent = {"agent's model", "agent's inference profile", "agent's guardrail"}  # this environment has none
    assert skipped == {"role's calls, simulated"} | of_airflow | of_the_agent


def test_the_command_shows_the_check_as_a_table(
    product: Applied, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(product.infrastructure.home.folder))
    assert cli.main(["infra", "check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"^queue +members-dlq +pass: kept 14 days$", "\n".join(lines), re.MULTILINE)
    assert re.fullmatch(r"\d+ pass, \d+ not applicable", lines[-1])
    with redrive(product):
        assert cli.main(["infra", "check"]) == 1
    assert re.search(r"^queue +members-dlq +FAIL: RedrivePolicy is ", capsys.readouterr().out, re.MULTILINE)


# -- the product on it


def test_a_member_that_is_written_is_found(product: Applied, tmp_path: Path) -> None:
    dynamodb = product.aws("dynamodb")
    dynamodb.put_item(TableName="members", Item=_member("m-1", name="Ada Lovelace"))
    dynamodb.put_item(TableName="members", Item=_member("m-2", name="Bob"))
    dynamodb.delete_item(TableName="members", Key={"member_id": {"S": "m-2"}})
    with product.delivery(tmp_path) as source:
        assert source.poll_once() == 3
    assert _found(product, "members", {"match": {"name": "lovelace"}}) == ["m-1"]
    assert _found(product, "members", {"match": {"name": "bob"}}) == []


def test_a_location_that_changes_is_synced(product: Applied, app: local_postgres.AppDatabase, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        insert(owner, 7_000_001, "Newtown", updated_at=now)
    indexes = product.connections.indexes(LOCATIONS)
    live = sync.check(indexes)
    interval = sync.Interval(now - timedelta(minutes=5), now + timedelta(minutes=1))
    with Rejections(tmp_path / "rejected.ndjson") as rejections:
        report = sync.run(indexes, product.connections.rows(LOCATIONS, live), live, interval, rejections=rejections)
    assert (report.rejected, report.behind) == (0, {})
    assert _found(product, "locations", {"match": {"name": "newtown"}}) == ["7000001"]


def test_a_poison_record_is_parked_and_replayed(product: Applied, tmp_path: Path) -> None:
    dynamodb, sqs = product.aws("dynamodb"), product.aws("sqs")
    dynamodb.put_item(TableName="members", Item=_member("m-3", name="Cleo", sync={"M": {}}))
    with product.delivery(tmp_path) as source:
        while source.poll_once():
            pass
    queue = product.queue("members-dlq")
    assert _waiting(sqs, queue) == 1
    assert _found(product, "members", {"match": {"name": "cleo"}}) == []
    dynamodb.put_item(TableName="members", Item=_member("m-3", name="Cleo"))  # put right, at its source
    indexes, connections = product.connections.indexes(MEMBERS), product.connections
    report = Replay(
        indexes,
        connections.source(MEMBERS),
        Queue(sqs, queue),
        Queue(sqs, product.queue("members-parked")),
        connections.origins(MEMBERS),
        Choice(),
    ).run()
    assert (report.failed, report.why_parked) == ([], {})
    assert _waiting(sqs, queue) == 0
    assert _found(product, "members", {"match": {"name": "cleo"}}) == ["m-3"]


def _member(key: str, **attributes: Any) -> dict[str, Any]:
    typed = {name: value if isinstance(value, dict) else {"S": value} for name, value in attributes.items()}
    return {"member_id": {"S": key}, "tenant_id": {"S": "acme"}, **typed}


def _found(product: Applied, alias: str, query: dict[str, Any]) -> list[str]:
    client = product.connections.opensearch()
    client.request("POST", f"/{alias}/_refresh")
    hits = client.request("POST", f"/{alias}/_search", body={"query": query})["hits"]["hits"]
    return sorted(hit["_id"] for hit in hits)


def _waiting(sqs: Any, queue: str) -> int:
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


# -- what somebody breaks


@pytest.mark.parametrize(("broken", "rows"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_what_somebody_breaks_turns_its_row_red(
    product: Applied, broken: Callable[[Applied], AbstractContextManager[None]], rows: set[tuple[str, str]]
) -> None:
    """A check that stays green proves nothing; one that turns red elsewhere sends people to the wrong place."""
    with broken(product):
        assert product.red() == rows


def test_a_plan_shows_what_somebody_broke_and_nothing_else(product: Applied) -> None:
    with batch_size(product):
        changes = product.infrastructure.plan("dev")
    assert [change.what for change in changes if not change.why] == [
        "module.stream.aws_lambda_event_source_mapping.stream: update batch_size"
    ]


def test_a_mapping_that_is_not_the_files_is_red(product: Applied) -> None:
    client, live = product.connections.opensearch(), product.connections.indexes(LOCATIONS).live_or_raise()
    client.request("PUT", f"/{live}/_settings", body={"index": {"refresh_interval": "7s"}})
    (result,) = [one for one in product.check().values() if not is_good(one)]
    assert (result.check, result.subject) == ("mapping", "locations")
    assert "refresh_interval: '7s' instead of" in result.seen
    client.request("PUT", f"/{live}/_settings", body={"index": {"refresh_interval": "1s"}})
    assert product.red() == set()


# -- what runbooks ask


def test_each_command_of_the_runbooks_for_aws_is_answered(product: Applied, monkeypatch: pytest.MonkeyPatch) -> None:
    """On what Terraform made, under the names that the pages say."""
    of_queues = {MEMBERS.variable(f"{name}_QUEUE"): product.queue(f"members-{short}") for name, short in QUEUES.items()}
    for name, value in {**aws_environment(product.endpoint), **of_queues, "UUID": ""}.items():
        monkeypatch.setenv(name, value)
    for text in dict.fromkeys(block.of("members") for block in runbooks.blocks("aws")):
        aws_command.run(text)
    assert product.red() == {("delivery", FUNCTION)}, "the last one pauses the mapping"
    product.aws("lambda").update_event_source_mapping(UUID=product.mapping()["UUID"], Enabled=True)


# -- the end


def test_a_table_and_stream_of_another_kind_are_red(product: Applied) -> None:
    """Last, because a stream that is on again is another one. The mapping leads from the one that was."""
    provisioned = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    product.aws("dynamodb").update_table(
        TableName="members", BillingMode="PROVISIONED", ProvisionedThroughput=provisioned
    )
    assert product.red() == {("table", "members")}
    product.aws("dynamodb").update_table(TableName="members", StreamSpecification={"StreamEnabled": False})
    assert product.red() == {("table", "members"), ("table's stream", "members")}


def test_down_destroys_everything_and_forgets_it(applied: Applied) -> None:
    destroyed = applied.infrastructure.down()
    assert f"{len(destroyed)} resources" == dict(applied.rows)["together"]
    assert infra_server.address(applied.infrastructure.folder) is None
    with pytest.raises(LocalError, match="nothing is applied"):
        applied.infrastructure.plan("dev")
    assert applied.infrastructure.down() == []
