"""One process that applies batches of a stream, made beforehand, and says how long that took.

Started by ``benchmarks._stream_runs`` with a job as JSON. The ways: ``handler`` is the function as Lambda calls it;
``compare_and_set`` and ``index`` write the documents that it would write, by its writer and by bare bulk requests.
"""

import importlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from local import members, stream_function
from local.function import Context
from searchsync.catalog import entity
from searchsync.cluster.client import connect_from_environment
from searchsync.cluster.index import Index
from searchsync.documents.page import Page, Rejection, page_of, written_now
from searchsync.stream.consumer import Change, decode, identify
from searchsync.writing import writer

ENTITY = entity("members")
(_KEY,) = members.ENTITY.key

Job = dict[str, Any]
Event = dict[str, Any]


def main() -> None:
    """Run the job given as the only argument."""
    job: Job = json.loads(sys.argv[1])
    records, alive = changes(job["records"])
    batches = [records[at : at + job["batch"]] for at in range(0, len(records), job["batch"])]
    apply = WAYS[job["way"]](job, batches)
    cpu, began = time.process_time(), time.perf_counter()
    apply()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    keys = len({record["dynamodb"]["Keys"][_KEY]["S"] for record in records})
    print(json.dumps({"seconds": seconds, "cpu": cpu, "documents": keys, "alive": alive}))


def changes(count: int, seed: int = 1) -> tuple[list[Event], int]:
    """Records as Lambda hands them over: half inserts, the others updates and deletes of what is there.

    :returns: also how many members are left
    """
    choose, images = random.Random(seed), members.sample(count, seed)
    there: list[dict[str, Any]] = []
    records = []
    for number in range(count):
        kind = choose.choices(("INSERT", "MODIFY", "REMOVE"), (50, 35, 15))[0] if there else "INSERT"
        at = choose.randrange(len(there)) if there else 0
        if kind == "INSERT":
            image = next(images)
            there.append(image)
        elif kind == "MODIFY":
            image = there[at] = {**there[at], "city": {"S": f"City {number}"}}
        else:
            there[at], there[-1] = there[-1], there[at]
            image = there.pop()
        records.append(_record(kind, image, number))
    return records, len(there)


def _record(kind: str, image: dict[str, Any], number: int) -> Event:
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": float(int(time.time())),
        "Keys": {_KEY: image[_KEY]},
        "SequenceNumber": f"{10**24 + number}",
        "SizeBytes": 500,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    change |= {"NewImage": image} if kind != "REMOVE" else {}
    change |= {"OldImage": image} if kind != "INSERT" else {}
    return {
        "eventID": f"{number:032x}",
        "eventName": kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/members/stream/2026-01-01T00:00:00.000",
    }


def _handler(_: Job, batches: list[list[Event]]) -> Callable[[], None]:
    sys.path.insert(0, str(stream_function.HANDLER.parent))
    handler = importlib.import_module("handler").handler
    events = [{"Records": batch} for batch in batches]

    def load() -> None:
        with Path(os.devnull).open("w") as log, redirect_stdout(log):
            for event in events:
                answer = handler(event, Context("benchmark", stream_function.name_of(ENTITY), time.monotonic() + 60))
                if answer != {"batchItemFailures": []}:
                    raise RuntimeError(f"a batch was not acknowledged: {answer}")

    return load


def _compare_and_set(job: Job, batches: list[list[Event]]) -> Callable[[], None]:
    client, pages = connect_from_environment(), list(_pages(batches))

    def load() -> None:
        for page in pages:
            writer.compare_and_set(Index(client, job["index"]), page, on_rejected=_refuse)

    return load


def _index(job: Job, batches: list[list[Event]]) -> Callable[[], None]:
    client, bodies = connect_from_environment(), []
    for page in _pages(batches):
        documents = (b'{"index":{"_id":%b}}\n%b\n' % (document.id, document.source) for document in page.documents())
        bodies.append((b"".join(documents), page.count))

    def load() -> None:
        for body, count in bodies:
            for item in client.send_bulk(job["index"], body, count):
                if item["status"] not in (200, 201):
                    raise RuntimeError(f"a document was not written: {item}")

    return load


def _pages(batches: Iterable[list[Event]]) -> Iterable[Page]:
    """The documents of each batch, of each key the last one."""
    for batch in batches:
        latest: dict[str, Change] = {}
        for record in batch:
            key, position = identify(ENTITY, record)
            latest[key] = decode(ENTITY, record, key, position, at=written_now())
        documents = [change.document for change in latest.values()]
        yield page_of(documents, position=min(change.position for change in latest.values()))


def _refuse(rejection: Rejection) -> None:
    raise RuntimeError(f"a document was rejected: {rejection}")


WAYS = {"handler": _handler, "before": _handler, "compare_and_set": _compare_and_set, "index": _index}

if __name__ == "__main__":
    main()
