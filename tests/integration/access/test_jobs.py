"""Each part does its job with the keys of its role: it is granted what it needs, and nothing that it never calls."""

import importlib.util
import json
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import yaml

from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local import redis as local_redis
from local import sample_data
from local.lambda_contract import event_record, pointer
from local.members import generate
from searchsync.access.roles import rendered
from searchsync.canary import run as canary
from searchsync.capacity import run as capacity
from searchsync.catalog import CATALOG
from searchsync.cli import main
from searchsync.cli.connections import SHELL
from searchsync.cluster import figures, unwritable
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.freshness import run
from searchsync.health import cluster
from searchsync.operations import reindex, replay, sync
from searchsync.operations.sync import Interval
from searchsync.preflight import search
from searchsync.preflight.checks import Outcome
from searchsync.preflight.target import Target
from searchsync.quality import run as quality
from searchsync.quality.history import History
from searchsync.quality.run import Wanted
from searchsync.recovery import drill, measure, snapshot
from searchsync.recovery.measure import Connect
from searchsync.sources import export_requests
from searchsync.stream import gaps
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests import calls
from tests.integration.access import security_api
from tests.integration.access.emulator import ACCOUNT, EXPORTS, PLACE, RECORDS, Emulator, running
from tests.integration.operations.test_retire import buried, write
from tests.search_service import serving
from tests.steps import make_index, until
from tests.user_pool import bearer

REPO = Path(__file__).parents[3]
HEAD = """# The calls that each part makes, recorded by tests/integration/access/test_jobs.py.
# tests/infra/test_recorded.py holds the grants to them.
"""
MEMBERS = CATALOG["members"]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with running(tmp_path / "calls.jsonl", [replace(MEMBERS, read_from="export")]) as emulator:
        generate(emulator.client("dynamodb"), 30)
        yield emulator


@pytest.fixture
def jobs(
    emulator: Emulator,
    client: Client,
    opensearch_server: local_opensearch.Server,
    app: local_postgres.AppDatabase,
    include: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: None,
) -> "Jobs":
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "SEARCHSYNC_OPENSEARCH_URL": opensearch_server.url,
        "SEARCHSYNC_POSTGRES_DSN": app.reader_dsn,
        "SEARCHSYNC_ENTITY": "members",
        "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": emulator.queue("members-dlq"),
        "SEARCHSYNC_MEMBERS_PARKED_QUEUE": emulator.queue("members-parked"),
        "SEARCHSYNC_MEMBERS_EXPORT_BUCKET": f"{EXPORTS}/members",
    }.items():
        monkeypatch.setenv(name, value)
    for module, name, quick in (
        (replay, "EMPTY_SECONDS", 0),
        (replay, "MARGIN_SECONDS", 0),
        (run, "WAIT_SECONDS", 0.1),
        (gaps, "UNWRITABLE_SECONDS", 0.0),
        (writer, "UNWRITABLE_PATIENCE_SECONDS", 0.5),
        (export_requests, "POLL_SECONDS", 0.05),
        (export_requests, "INEXACT_SECONDS", 0),
        (reindex, "INEXACT_SECONDS", 0),
        (calls, "CALLS", {}),
    ):
        monkeypatch.setattr(module, name, quick)
    policy = include / "policies" / "retention.yaml"
    policy.write_text(yaml.safe_dump(yaml.safe_load(policy.read_text()) | {"save_before_deletion": True}))
    return Jobs(emulator, client, include, monkeypatch)


class Jobs:
    """What the parts do, each with its own keys."""

    def __init__(self, emulator: Emulator, client: Client, include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self.client = client
        self._include = include
        self._monkeypatch = monkeypatch
        self._streams = emulator.client("dynamodbstreams")
        table = emulator.client("dynamodb").describe_table(TableName="members")["Table"]
        self.stream_arn = table["LatestStreamArn"]
        (shard,) = self._streams.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]["Shards"]
        self.shard = shard["ShardId"]
        self._iterator = self._streams.get_shard_iterator(
            StreamArn=self.stream_arn, ShardId=self.shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        self.indexes = EntityIndexes(client, MEMBERS)

    def become(self, role: str) -> None:
        """Go on with the keys of a role."""
        for name, value in self.emulator.keys(role).items():
            self._monkeypatch.setenv(name, value)

    def searchsync(self, *arguments: str) -> None:
        """Run a command as Airflow's role; it has to succeed."""
        self.become("searchsync-airflow-task")
        assert main.main([*arguments]) == 0, arguments

    def records(self) -> list[dict[str, Any]]:
        """What the stream has had since the last time, as the function gets it."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self._streams.get_records(ShardIterator=self._iterator, Limit=1000)
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return found
            found += [event_record(record, self.stream_arn) for record in answer["Records"]]

    def stream(self) -> list[dict[str, Any]]:
        """Let the function have what the stream has; return the records."""
        self.become("searchsync-stream-members")
        records = self.records()
        handler = _handler()
        context = SimpleNamespace(
            get_remaining_time_in_millis=lambda: 60_000, aws_request_id="any", function_version="1"
        )
        assert handler.handler({"Records": records}, context) == {"batchItemFailures": []}
        return records

    def put(self, key: str, **attributes: str) -> None:
        item = {"member_id": {"S": key}, **{name: {"S": value} for name, value in attributes.items()}}
        self.emulator.client("dynamodb").put_item(TableName="members", Item=item)

    def delete(self, key: str) -> None:
        self.emulator.client("dynamodb").delete_item(TableName="members", Key={"member_id": {"S": key}})

    def send_pointer(self, records: list[dict[str, Any]]) -> None:
        """Send what the mapping sends when it gives up some records. One more was forgotten, so a gap is noted."""
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        batch = {"shardId": self.shard, "startSequenceNumber": numbers[0], "endSequenceNumber": numbers[-1]}
        batch |= {"streamArn": self.stream_arn, "batchSize": len(numbers) + 1}
        batch |= {f"approximateArrivalOf{which}Record": "2026-01-01T00:00:00Z" for which in ("First", "Last")}
        self.send({"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": batch})

    def send_given_up(self) -> None:
        """Put an object where the mapping keeps what it gave up, and send what the bucket's event becomes."""
        self.put("m-0000005", name="x")
        records = self.records()
        body = pointer(
            records, self.shard, "members-stream:live", condition="RecordAgeExceeded", invocations=1, raised=False
        )
        body |= {"payload": json.dumps({"Records": records})}
        key = f"aws/lambda/a-mapping/{self.shard}/2026/11/30/an-object"
        self.emulator.client("s3").put_object(Bucket=RECORDS, Key=key, Body=json.dumps(body).encode())
        self.send({"kind": "given-up", "bucket": RECORDS, "key": key})

    def without_gaps(self) -> None:
        """Delete the index of the gaps, which the first note makes."""
        self.client.request("DELETE", "/searchsync-gaps", params={"ignore_unavailable": "true"})

    def of_earlier_version(self, index: str, lacking: str) -> None:
        """Replace one of our own small indexes by one whose mapping lacks a field."""
        body = json.loads((self._include / "mappings" / f"{index}.json").read_text(encoding="utf-8"))
        del body["mappings"]["properties"][lacking]
        self.client.request("DELETE", f"/{index}")
        self.client.request("PUT", f"/{index}", body=body)

    def send(self, body: Any, queue: str = "members-dlq") -> None:
        """Put a message into a queue."""
        url = self.emulator.queue(queue)
        self.emulator.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(body))


def _handler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("handler_of_members", REPO / "lambdas" / "stream" / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    handlers = logging.getLogger().handlers
    spec.loader.exec_module(module)
    logging.getLogger().handlers = handlers  # a function has its process for itself
    return module


def members_live(jobs: Jobs) -> None:
    """The first index; changes by the stream, one of which cannot be written; and the second index."""
    jobs.searchsync("reindex", "members")
    jobs.put("m-0000001", name="x")
    jobs.put("m-new", name="x")
    jobs.delete("m-0000002")
    jobs.put("x" * 600, name="too long for an id")
    jobs.stream()
    jobs.delete("x" * 600)
    jobs.stream()
    jobs.searchsync("reindex", "members", "--partitions", "2")
    candidate = next(index.name for index in jobs.indexes.all() if not index.is_live)
    jobs.client.request("PUT", f"/{candidate}/_settings", body={"index.blocks.write": True})
    for before in (jobs.without_gaps, lambda: jobs.of_earlier_version("searchsync-gaps", "why")):
        before()
        jobs.put("m-0000003", name=repr(before))
        jobs.stream()  # notes what the candidate misses
    jobs.client.request("PUT", f"/{candidate}/_settings", body={"index.blocks.write": None})
    jobs.searchsync("compare", "members", "--index", candidate, "--repair")
    jobs.searchsync("rollback", "members")


def freshness_measured(jobs: Jobs) -> None:
    """A heartbeat that nobody delivers is late, and deleted all the same."""
    jobs.become("searchsync-airflow-task")
    assert main.main(["freshness", "members"]) == 1
    jobs.of_earlier_version("searchsync-freshness", "why")
    assert main.main(["freshness", "members"]) == 1


def members_replayed(jobs: Jobs) -> None:
    """What was parked, what only points to records, one of them poison, what nobody can read, and what has to wait."""
    for before in (jobs.without_gaps, lambda: jobs.of_earlier_version("searchsync-gaps", "shard")):
        before()
        jobs.put("m-0000004", name=repr(before))
        jobs.put("x" * 600, name="too long for an id")
        jobs.send_pointer(jobs.records())
        jobs.delete("x" * 600)
        jobs.send_given_up()
        jobs.send({"kind": "else"})
        jobs.searchsync("replay", "members", "--dry-run")
        main.main(["replay", "members"])  # it says that something waits for a person
    again = {"kind": "record", "key": "m-0000004", "position": "", "reason": "any", "parked_at": 0.0, "attempts": 0}
    jobs.send(again, queue="members-parked")
    main.main(["replay", "members", "--parked"])
    jobs.send(again)  # it waits while quality is looked at


def quality_seen(entity: str, folder: Path) -> None:
    """A full look at the live index, with a repair, and what `searchsync indexes --check` asks."""
    indexes = SHELL.indexes(CATALOG[entity])
    live = str(indexes.live())
    with closing(SHELL.source(indexes.entity, indexes.built_from(live))) as source:
        feed = SHELL.feed(indexes.entity, indexes.built_from(live))
        quality.run(indexes, source, live, feed, folder / entity, Wanted(f"{entity}/test", repair="on"))
    main.main(["indexes", "--check"])  # it may find something


def capacity_seen(jobs: Jobs) -> None:
    """What the DAG `capacity` keeps: for the first time, and where the mapping of an earlier version has less."""
    for earlier in (False, True):
        if earlier:
            jobs.of_earlier_version("searchsync-capacity", "advice")
        found = capacity.run(SHELL.opensearch(), [*CATALOG.values()], "capacity/test")
        assert found.problems == []
        found.keep(SHELL.opensearch())


def canary_judged(jobs: Jobs) -> None:
    """What the DAG `canary` reads of CloudWatch, which knows nothing here, and keeps."""
    now = datetime.now(UTC)
    times = {"since": (now - timedelta(hours=1)).isoformat(), "until": now.isoformat()}
    question = canary.Question("function", 10, "abc", "1", "2", entity="members", **times)
    for earlier in (False, True):
        if earlier:
            jobs.of_earlier_version("searchsync-canary", "why")
        judgement, _ = canary.answer(question, lambda: SHELL.aws("aws_default", "cloudwatch"))
        assert judgement.verdict == "inconclusive"
        assert canary.keep(SHELL.opensearch(), canary.record(question, judgement, f"canary/{earlier}"))


def health_seen(jobs: Jobs) -> None:
    """A look at everything while a shard has no node, and what is asked when OpenSearch is slow."""
    jobs.become("searchsync-airflow-task")
    red = {"settings": {"number_of_replicas": 0, "index.routing.allocation.require.place": "nowhere"}}
    jobs.client.request("PUT", "/red", body=red, params={"wait_for_active_shards": "0"})
    assert main.main(["health"]) == 1
    cluster.hot_threads(SHELL.opensearch())
    jobs.client.request("DELETE", "/red")


def month_judged(jobs: Jobs) -> None:
    """A month in which nobody asked: the alarms, and what their metrics have."""
    for row, metric in (("api-answers-stale", "StaleAnswers"), ("api-slow", "Latency"), ("api-no-task-ready", "Count")):
        jobs.emulator.client("cloudwatch").put_metric_alarm(
            AlarmName=f"searchsync-{row}", Namespace="Any", MetricName=metric, Statistic="Sum", Period=60, Threshold=1,
            EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
    parts = [
        {"Id": name, "MetricStat": {"Metric": {"Namespace": "Any", "MetricName": name}, "Period": 60, "Stat": "Sum"}}
        for name in ("asked", "failed")
    ]
    jobs.emulator.client("cloudwatch").put_metric_alarm(
        AlarmName="searchsync-api-errors-1h", Threshold=1, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold", Metrics=[*parts, {"Id": "rate", "Expression": "failed / asked"}],
    )  # fmt: skip
    jobs.become("searchsync-airflow-task")
    assert main.main(["slo", "--month", f"{datetime.now(UTC):%Y-%m}"]) == 1


def retired(jobs: Jobs, entity: str) -> None:
    """The oldest index is saved and deleted, old tombstones are purged, and one that takes no writes is given up."""
    indexes = EntityIndexes(jobs.client, CATALOG[entity])
    for index in indexes.all():
        if index.was_served and not index.is_live:
            index.stamp_left_read(datetime.now(UTC) - timedelta(days=9))
    if entity == "locations":
        write(jobs.client, str(indexes.live()), buried(40, "t-1", "t-2"))
    first = indexes.all()[0].name
    snapshot = {"indices": f"{first},{indexes.live()}"}  # of more than the index: it is replaced
    jobs.client.request("PUT", f"/_snapshot/searchsync/{first}?wait_for_completion=true", body=snapshot)
    jobs.searchsync("retire", entity, "--dry-run")
    jobs.searchsync("retire", entity)
    for block in ("write", "read_only"):
        made = make_index(jobs.client, CATALOG[entity], f"run-{block}")
        jobs.client.request("PUT", f"/{made}/_settings", body={f"index.blocks.{block}": True})
        unwritable.evict(SHELL.indexes(CATALOG[entity]), patience=0)


def locations_synced(jobs: Jobs, owner: psycopg.Connection[Any], folder: Path) -> None:
    """The index of the places, a sync of what changed, and one more index."""
    jobs.searchsync("reindex", "locations")
    owner.execute("UPDATE locations SET name = 'x', updated_at = now() WHERE location_id % 7 = 0")
    owner.execute("DELETE FROM locations WHERE location_id % 11 = 0")
    indexes = SHELL.indexes(CATALOG["locations"])
    interval = Interval(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    live = sync.check(indexes)
    with Rejections(folder / "rejected.ndjson") as rejections, closing(SHELL.rows(indexes.entity, live)) as source:
        sync.run(indexes, source, live, interval, rejections=rejections)
    jobs.searchsync("reindex", "locations")
    for _ in range(2):
        jobs.searchsync("reindex", "locations")


def shown(jobs: Jobs) -> None:
    """What the page *Indexes* asks of OpenSearch."""
    entities = [*CATALOG.values()]
    figures.indexes_of(jobs.client, entities)
    figures.health_of(jobs.client)
    figures.shards_of(jobs.client, entities)
    figures.documents_of(jobs.client, entities)
    History(jobs.client).of_all(entities, most=1)
    gaps.of_all(jobs.client)


def recovered(jobs: Jobs, owner: psycopg.Connection[Any]) -> None:
    """What is live is saved; both entities come back beside it, from the snapshot and from their sources."""
    jobs.become("searchsync-airflow-task")
    client, run = SHELL.opensearch(), "index_snapshot/test"
    saved = snapshot.save(client, run, datetime.now(UTC))
    jobs.of_earlier_version("searchsync-recovery", "saved_at")
    snapshot.verify(client, run, saved)
    snapshot.prune(client, lambda _: False, ZoneInfo("UTC"))
    owner.execute("UPDATE locations SET name = 'y', updated_at = now() WHERE location_id % 5 = 0")
    jobs.put("m-0000005", name="changed since")
    jobs.put("m-newer", name="written since")
    for name in ("locations", "members"):
        indexes = SHELL.indexes(CATALOG[name])
        plan = drill.prepare(indexes, f"recovery_drill/{name}", lambda _: False)
        streams = SHELL.streams(indexes.entity) if name == "members" else None
        connect = Connect(partial(SHELL.source, indexes.entity), streams)
        for way in (measure.restore, measure.build):
            assert way(indexes, plan, connect).different == {}
        drill.check_untouched(indexes, plan)


def looked_at(jobs: Jobs) -> None:
    """The preflight finds OpenSearch as it should be."""
    jobs.become("searchsync-deploy")
    results = [check.run() for check in search.checks(Target(SHELL, "dev"))]
    assert {result.outcome for result in results} == {Outcome.PASSED}, results


def searched(jobs: Jobs, opensearch: str, redis: str) -> None:
    """The search API finds a place and a member."""
    with serving(opensearch, redis) as served:
        until(lambda: served.get("/ready", None).status_code == 200, "the service is ready")
        for entity in ("members", "locations"):
            for path, parameters in ((f"/v1/{entity}/search", {"q": "x"}), (f"/v1/{entity}/1", {})):
                assert served.get(path, bearer(), **parameters).status_code in (200, 404)


def test_each_part_does_its_job_with_the_keys_of_its_role(
    jobs: Jobs,
    owner: psycopg.Connection[Any],
    redis_server: local_redis.Server,
    opensearch_server: local_opensearch.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The calls are those of tests/recorded/calls.yaml, to which tests/infra/test_recorded.py holds the grants."""
    sample_data.generate(owner, 500)
    repository = {"type": "fs", "settings": {"location": "retired-by-iam"}}
    jobs.client.request("PUT", "/_snapshot/searchsync", body=repository)
    members_live(jobs)
    freshness_measured(jobs)
    members_replayed(jobs)
    quality_seen("members", tmp_path)
    health_seen(jobs)
    jobs.of_earlier_version("searchsync-quality", "problems")
    for _ in range(2):
        jobs.searchsync("reindex", "members")
    retired(jobs, "members")
    monkeypatch.setitem(CATALOG, "members", replace(MEMBERS, read_from="export"))
    jobs.searchsync("reindex", "members")
    monkeypatch.setitem(CATALOG, "members", MEMBERS)
    locations_synced(jobs, owner, tmp_path)
    quality_seen("locations", tmp_path)
    capacity_seen(jobs)
    canary_judged(jobs)
    month_judged(jobs)
    retired(jobs, "locations")
    shown(jobs)
    recovered(jobs, owner)
    looked_at(jobs)
    searched(jobs, opensearch_server.url, redis_server.url)
    administered(jobs, monkeypatch)
    assert not [call for call in jobs.emulator.calls() if not call["allowed"]]
    made = recorded(jobs.emulator)
    (tmp_path / "calls.yaml").write_text(HEAD + yaml.safe_dump(made, width=120))
    assert made == yaml.safe_load(calls.RECORDED.read_text(encoding="utf-8")), (
        f"the calls are others than those of tests/recorded/calls.yaml; those of now are in {tmp_path}/calls.yaml. If "
        "they are meant, copy them, and grant them in include/policies"
    )


def administered(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roles of OpenSearch are made."""
    jobs.become("searchsync-opensearch-admin")
    with security_api.serving() as api:
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", api.url)
        assert main.main(["access", "apply", "--account", ACCOUNT]) == 0


def recorded(emulator: Emulator) -> dict[str, dict[str, Any]]:
    """The calls by role: of AWS as the emulator saw them, of OpenSearch as they were sent."""
    found: dict[str, dict[str, Any]] = {}
    for call in emulator.calls():
        arns = found.setdefault(call["role"], {}).setdefault("aws", {}).setdefault(call["action"], [])
        arns += [arn for arn in [_without_what_changes(call["resource"])] if arn not in arns]
    of_part = {role.part: name for name, role in rendered(PLACE, CATALOG.values()).items()}
    for part, what in calls.CALLS:
        if "/" in what and part in of_part:
            found.setdefault(of_part[part], {}).setdefault("opensearch", []).append(what)
    return {
        role: {
            **({"aws": {call: sorted(arns) for call, arns in kinds["aws"].items()}} if "aws" in kinds else {}),
            **({"opensearch": sorted(kinds["opensearch"])} if "opensearch" in kinds else {}),
        }
        for role, kinds in found.items()
    }


def _without_what_changes(arn: str) -> str:
    """An ARN without the time of a stream, the id of an export, and the name of an object."""
    return re.sub(r"(/stream|/export|:::[^/]+/(?:aws/lambda|[^/]+))/.+", r"\1/*", arn)
