"""A running stack as a kill finds it: something to do for each DAG before it, and what has to hold after it."""

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from local import members, postgres, stream_function, tables
from local.airflow_api import AirflowApi
from local.paths import Home
from local.stack import Stack
from searchsync.catalog import CATALOG, Entity, entity
from searchsync.cli import workflows
from searchsync.cluster.client import connect
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.compare import differences
from searchsync.compare.differences import GRACE_SECONDS, LARGEST_SAMPLE, DiffReport, Effort
from searchsync.documents.position import MARGIN_SECONDS
from searchsync.operations import retire, sync
from searchsync.operations.sync import Interval
from searchsync.quality import health
from searchsync.quality.health import Feed
from searchsync.recovery import drill, snapshot
from searchsync.sources.base import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.sources.postgres import PostgresSource
from searchsync.stream.dead_letters import ParkedRecord
from searchsync.stream.queue import Queue
from searchsync.writing.progress import Rejections

LOCATIONS, MEMBERS = entity("locations"), entity("members")
ALL_DOCUMENTS = LARGEST_SAMPLE + 1
CHANGED, DELETED, ADDED = 40, 5, 5
DAMAGED = 8
PARKED = 20
BRING_NOTHING = ("cluster_health", "freshness", "index_snapshot")
"""DAGs that look or copy: what changed would be missing after them, as it is after no DAG at all."""

LOAN_SECONDS = 20
"""That a message which a killed replay had received is out of sight; the product's queue says five minutes."""

_TABLE, (_KEY,) = members.ENTITY.table, members.ENTITY.key
_POLICY = '''"""Retries of a stack that is killed on purpose: at once."""

from datetime import timedelta


def task_policy(task):
    task.retry_delay = timedelta(seconds=1)
'''


def retry_at_once(home: Home) -> None:
    """Let a stack that is not started yet retry after one second, by Airflow's own policy file."""
    path = home.part("airflow") / "config" / "airflow_local_settings.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_POLICY, encoding="utf-8")


class World:
    """One stack, its sources and its indexes."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.api: AirflowApi = stack.api()
        variables = stack.variables()
        self.search = connect(variables["SEARCHSYNC_OPENSEARCH_URL"])
        self._reader = variables["SEARCHSYNC_POSTGRES_DSN"]
        self._owner = stack.server("postgres").dsn(postgres.OWNER, "app")
        self._aws = partial(tables.client, endpoint=variables["AWS_ENDPOINT_URL"])
        self._queues = {name: variables[MEMBERS.variable(f"{name}_QUEUE")] for name in ("DEAD_LETTER", "PARKED")}

    # -- something to do

    def keep_one_row_in(self, parts: int) -> None:
        """Make the table small, before anything is indexed."""
        with psycopg.connect(self._owner, autocommit=True) as owner:
            owner.execute("DELETE FROM locations WHERE location_id %% %s <> 0", [parts])

    def prepare(self, dag_id: str, choose: random.Random) -> None:
        """Bring a DAG something to do; without the DAG the indexes would not be exact afterwards, or not tidy."""
        of = MEMBERS if dag_id.startswith("members") else LOCATIONS
        self._serve(of, 3 if dag_id == "index_retire" else 2 if of is LOCATIONS else 1)
        if dag_id == "index_retire":
            self._expire(of)
        elif dag_id == "locations_quality":
            self._damage(choose)
        elif dag_id == "members_dlq_replay":
            self._lose(choose)
        elif dag_id == "recovery_drill":
            self._save()
        elif dag_id not in BRING_NOTHING:
            self.change(of, choose)

    def change(self, of: Entity, choose: random.Random) -> None:
        """Change, delete and add some rows or items."""
        if of is MEMBERS:
            self._change_members(choose)
        else:
            self._change_rows(choose)

    def items(self) -> Iterator[dict[str, Any]]:
        """Yield the items of the members' table."""
        pages = self._aws("dynamodb").get_paginator("scan").paginate(TableName=_TABLE, ConsistentRead=True)
        return (item for page in pages for item in page["Items"])

    def put_back(self, items: Sequence[dict[str, Any]]) -> None:
        """Make the members' table what a copy of it was."""
        dynamodb, kept = self._aws("dynamodb"), {item[_KEY]["S"] for item in items}
        for item in [*self.items()]:
            if item[_KEY]["S"] not in kept:
                dynamodb.delete_item(TableName=_TABLE, Key={_KEY: item[_KEY]})
        for item in items:
            dynamodb.put_item(TableName=_TABLE, Item=item)

    def _serve(self, of: Entity, count: int) -> None:
        """Have so many indexes that are or were served, and no more: a reindex needs room in the write set."""
        while len(self._served(of)) < count:
            with tempfile.TemporaryDirectory() as folder:
                run_id = f"kills/{datetime.now(UTC).isoformat()}"
                connect_source = partial(self._connect, of)
                workflows.rebuild(self.indexes(of), connect_source, run_id, Path(folder), workflows.Options())
        if len(self._served(of)) > count:
            self._expire(of)
            retire.retire(self.indexes(of), lambda _: None)

    def indexes(self, of: Entity) -> EntityIndexes:
        """Return the indexes of an entity."""
        return EntityIndexes(self.search, of)

    def _served(self, of: Entity) -> list[PhysicalIndex]:
        return [index for index in self.indexes(of).all() if index.was_served]

    def _save(self) -> None:
        """Make a snapshot of all that is live."""
        at = datetime.now(UTC)
        run_id = f"kills/{at.isoformat()}"
        snapshot.verify(self.search, run_id, snapshot.save(self.search, run_id, at))

    def _expire(self, of: Entity) -> None:
        """Put the indexes that are not served any more out of the rollback window, in their order."""
        for index in self._served(of):
            if not index.is_live:
                left = index.left_read_at or datetime.now(UTC)
                if left > datetime.now(UTC) - timedelta(days=1):
                    Index(self.search, index.name).stamp_left_read(left - timedelta(days=2))

    def _change_rows(self, choose: random.Random) -> None:
        with psycopg.connect(self._owner, autocommit=True) as owner:
            keys = [row[0] for row in owner.execute("SELECT location_id FROM locations ORDER BY 1").fetchall()]
            some = choose.sample(keys, CHANGED + DELETED)
            query = "UPDATE locations SET name = %s, updated_at = now() WHERE location_id = ANY(%s)"
            owner.execute(query, [f"renamed {choose.random()}", some[:CHANGED]])
            owner.execute("DELETE FROM locations WHERE location_id = ANY(%s)", [some[CHANGED:]])
            for number in range(1, ADDED + 1):
                query = (
                    "INSERT INTO locations (location_id, name, country, latitude, longitude) VALUES (%s, %s, %s, 1, 1)"
                )
                owner.execute(query, [keys[-1] + number, "added", "DE"])

    def _change_members(self, choose: random.Random) -> None:
        dynamodb = self._aws("dynamodb")
        numbers = choose.sample(range(1, members.SAMPLE_MEMBERS), CHANGED + DELETED)
        for number in numbers[:CHANGED]:
            item = {_KEY: {"S": f"m-{number:07d}"}, "name": {"S": f"renamed {choose.random()}"}}
            dynamodb.put_item(TableName=_TABLE, Item=item)
        for number in numbers[CHANGED:]:
            dynamodb.delete_item(TableName=_TABLE, Key={_KEY: {"S": f"m-{number:07d}"}})

    def _damage(self, choose: random.Random) -> None:
        """Change documents of the live index around the writer; rows that no sync has to bring."""
        live = self.indexes(LOCATIONS).live_or_raise()
        query = {"range": {"updated_at": {"lt": "now-2d"}}}
        body = {"size": 1_000, "query": query, "sort": [{"sync.bucket": "asc"}]}
        hits = self.search.request("POST", f"/{live}/_search", body=body)["hits"]["hits"]
        for number, hit in enumerate(choose.sample(hits, DAMAGED)):
            if number % 2:
                self.search.request("DELETE", f"/{live}/_doc/{hit['_id']}")
            else:
                document = {**hit["_source"], "name": "damaged"}
                document["sync"] |= {"hash_high": number, "hash_low": number}
                self.search.request("PUT", f"/{live}/_doc/{hit['_id']}", body=document)

    def _lose(self, choose: random.Random) -> None:
        """Take members out of every index, and park a message for each, as the function does that could not write."""
        table = self._aws("dynamodb").scan(TableName=_TABLE, Limit=1_000, ConsistentRead=True)["Items"]
        messages = []
        for item in choose.sample(table, PARKED):
            key = item[_KEY]["S"]
            for name in self.indexes(MEMBERS).write_set():
                self.search.request("DELETE", f"/{name}/_doc/{key}")
            record = {"eventName": "MODIFY", "dynamodb": {"Keys": {_KEY: {"S": key}}, "NewImage": item}}
            messages.append(ParkedRecord(record, key, "", "lost on purpose", "").message())
        self._queue("DEAD_LETTER").send(messages)
        time.sleep(2 * MARGIN_SECONDS + 1)  # a replay leaves younger ones to the next

    @contextmanager
    def short_loans(self) -> Iterator[None]:
        """Messages that a killed replay had received come back soon."""
        sqs, url = self._aws("sqs"), self._queues["DEAD_LETTER"]
        usual = stream_function.SETTINGS["queues"]["visibility_timeout_seconds"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(LOAN_SECONDS)})
        try:
            yield
        finally:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(usual)})

    def on_loan(self) -> bool:
        """Whether messages wait that nobody can receive yet."""
        url, name = self._queues["DEAD_LETTER"], "ApproximateNumberOfMessagesNotVisible"
        asked = self._aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(asked["Attributes"][name]) > 0

    def waiting(self) -> dict[str, int]:
        """Return how many messages each queue has."""
        return {name: self._queue(name).waiting() for name in self._queues}

    # -- what has to hold

    def different(self, dag_id: str) -> list[str]:
        """Which indexes of the write set are not what their source is, and how.

        The live index has to be exact as it is. Another one gets what changed while it was not served with the next
        hourly sync, which is made here.
        """
        of = MEMBERS if dag_id.startswith("members") else LOCATIONS
        live = self.indexes(of).live_or_raise()
        with closing(self.source(of)) as source:
            reports = [self._compare(source, live)]
            if of is LOCATIONS:
                self.sync()
            others = [name for name in self.indexes(of).write_set() if name != live]
            reports += [self._compare(source, name) for name in others]
        bad = [report for report in reports if report.findings or report.moving or report.pending]
        return [f"{report.index}: {report.kinds}, {report.moving} moving" for report in bad]

    def left_over(self, dag_id: str) -> list[str]:
        """What should not be there."""
        found = []
        for of in CATALOG.values():
            every = self.indexes(of).all()
            readers = sum(index.is_live for index in every)
            if every and readers != 1:
                found.append(f"{readers} indexes are read as {of.name}")
            found += [f"{index.name} is {index.role}" for index in every if index.role in ("building", "retiring")]
        if dag_id == "index_retire" and len(self._served(LOCATIONS)) > 2:
            found.append("an index out of its window")
        found += [f"{name} of a drill" for name in drill.copies(self.search)]
        if any(self.waiting().values()):
            found.append(f"messages: {self.waiting()}")
        return found + [f"a run of {dag_id} is {run['state']}" for run in self.unfinished(dag_id)]

    def unfinished(self, dag_id: str) -> list[dict[str, Any]]:
        """Runs that have not ended."""
        return self.api.runs(dag_id, states=("queued", "running"))

    def _compare(self, source: Source, name: str) -> DiffReport:
        feed = self._feed(source) if isinstance(source, DynamoSource) else None
        indexes = self.indexes(source.entity)
        behind = (lambda: feed.behind(indexes, name)) if feed else None
        effort = Effort(sample=ALL_DOCUMENTS, grace=GRACE_SECONDS / 2)
        return differences.find(indexes.get(name), source, behind=behind, effort=effort)

    def sync(self) -> None:
        """Bring the places that changed in the last hour, as the next sync does."""
        indexes, now = self.indexes(LOCATIONS), datetime.now(UTC)
        interval = Interval(now - timedelta(hours=1), now)
        with (
            tempfile.TemporaryDirectory() as folder,
            Rejections(Path(folder, "rejected.ndjson")) as rejections,
            closing(self.source(LOCATIONS)) as source,
        ):
            sync.run(indexes, source, sync.check(indexes), interval, rejections=rejections)

    # -- connections

    def source(self, of: Entity) -> Any:
        """What the live index is made from."""
        return self._connect(of, self.indexes(of).built_from(self.indexes(of).live_or_raise()))

    def _connect(self, of: Entity, plan: Any) -> Any:
        if of is MEMBERS:
            return DynamoSource(of, self._aws("dynamodb"), identity=plan and plan.identity)
        if plan is None:
            return PostgresSource(of, self._reader)
        return PostgresSource(of, self._reader, epoch=plan.epoch, identity=plan.identity)

    def _queue(self, name: str) -> Queue:
        return Queue(self._aws("sqs"), self._queues[name])

    def _feed(self, source: DynamoSource) -> Feed:
        streams, cloudwatch = self._aws("dynamodbstreams"), self._aws("cloudwatch")
        return health.Feed(source, streams, cloudwatch, self._queue("DEAD_LETTER"), self._queue("PARKED"))
