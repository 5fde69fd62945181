"""One loading process of ``./dev bench members``, fresh for each measurement so that its peak memory is its own.

The same code runs with the library of another commit (``--before``), so it uses only what both have, and nothing of
``local``, which needs the library beside it.
"""

import base64
import os
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from benchmarks._loads import Job, drain, run, send_bodies
from searchsync.aws import CONFIG
from searchsync.catalog import BUCKETS, entity
from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import reindex
from searchsync.sources.dynamodb import DynamoSource, Segment
from searchsync.writing.progress import Rejections

ENTITY = entity("members")
URL = "SEARCHSYNC_OPENSEARCH_URL"
KEY = ENTITY.key[0]


def _ours(job: Job) -> Callable[[], int]:
    """Our path, as the DAG's ``load`` runs it: segment after segment, a client and a source for each."""
    plan = reindex.ReindexPlan(**job["plan"])

    def load_one(segment: Segment, folder: Path) -> int:
        client = connect(os.environ[URL])
        source = DynamoSource(ENTITY, _dynamodb("client", job), identity=plan.identity)
        with Rejections(folder / "rejected.ndjson") as rejections:
            ledger = reindex.Reindex(EntityIndexes(client, ENTITY), plan, job["index"]).load(
                source, segment, rejections=rejections
            )
        source.close()
        return ledger.written

    def load() -> int:
        with TemporaryDirectory() as folder:
            return sum(load_one(Segment(number, job["of"]), Path(folder)) for number in job["segments"])

    return load


def _documents(job: Job) -> Iterator[dict[str, Any]]:
    """Documents of ``Table.scan``, built in Python: how one writes it with boto3's resource and opensearch-py's helper.

    They have no hash, which would cost this way even more.
    """
    known = ENTITY.index_body["mappings"]["properties"].keys()
    table = _dynamodb("resource", job).Table(ENTITY.table)
    for number in job["segments"]:
        start: dict[str, Any] = {}
        while True:
            answer = table.scan(ConsistentRead=True, Segment=number, TotalSegments=job["of"], **start)
            for item in answer["Items"]:
                fields = {name: _plain(value) for name, value in item.items() if name in known and value not in _NONE}
                yield {"_op_type": "create", "_id": item[KEY], "_source": {"sync": _sync(item[KEY]), **fields}}
            if "LastEvaluatedKey" not in answer:
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _dynamodb(kind: Literal["client", "resource"], job: Job) -> Any:
    """Return what speaks with the server of the pages, whatever account and proxy this shell is set up for."""
    import boto3
    from botocore.config import Config

    session = boto3.Session("testing", "testing", region_name="eu-west-1")
    made = session.client if kind == "client" else session.resource
    return made("dynamodb", endpoint_url=job["endpoint"], config=CONFIG.merge(Config(proxies={})))


_NONE = (None, "")


def _sync(key: str) -> dict[str, Any]:
    fixed = {"position": f"1800000000.{'0' * 40}", "deleted": False, "written_at": "2027-01-15T08:00:00.000Z"}
    return {**fixed, "bucket": zlib.crc32(key.encode()) % BUCKETS, "hash_high": 0, "hash_low": 0}


def _plain(value: Any) -> Any:
    """Return a value of boto3's resource as JSON has it."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, set):
        return [_plain(inner) for inner in sorted(value)]
    return value if value is None else base64.b64encode(bytes(value)).decode()


def _parallel_bulk(job: Job) -> Callable[[], int]:
    from opensearchpy import OpenSearch, helpers

    chunk, threads = job["chunk"], job["threads"]
    client = OpenSearch(os.environ[URL], timeout=60, pool_maxsize=threads)
    return lambda: drain(
        helpers.parallel_bulk(client, _documents(job), index=job["index"], chunk_size=chunk, thread_count=threads)
    )


WAYS = {"bodies": send_bodies, "ours": _ours, "before": _ours, "parallel_bulk": _parallel_bulk}

if __name__ == "__main__":
    run(WAYS)
