"""The whole path while it works: a product that writes, the delivery of its stream, and a search that waits for it."""

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks._runs import WrongResult
from benchmarks._stream_load import ENTITY
from local import members, processes
from local.paths import ROOT
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents import dynamodb_item

THREADS = 4
POLL_SECONDS = 0.02
FOLLOWED_SECONDS = 60.0
"""How long after the last write a followed change may still be missing."""

DRAIN_SECONDS = 1_200.0
"""The same for everything that the stream holds."""

CHANGED = 300
"""The first members are those that a product changes."""

_TABLE, (_KEY,) = members.ENTITY.table, members.ENTITY.key


class Follower:
    """Searches for marked members, through the alias, until each is found.

    :ivar seconds: from just before the write until the search showed it, one for each
    """

    def __init__(self, client: Client) -> None:
        self.seconds: list[float] = []
        self._client = client
        self._waiting: dict[str, float] = {}
        self._stop = threading.Event()

    @contextmanager
    def at_work(self, patience: float = FOLLOWED_SECONDS) -> Iterator["Follower"]:
        """Follow what is written inside; at the end, wait for the rest of it.

        :raises WrongResult: when some of it is never found
        """
        with ThreadPoolExecutor(1) as pool:
            searching = pool.submit(self._search)
            try:
                yield self
                deadline = time.monotonic() + patience
                while self._waiting and not searching.done():
                    if time.monotonic() > deadline:
                        raise WrongResult(f"{len(self._waiting)} changes are not found after {patience:.0f} s")
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop.set()
            searching.result()

    def write(self, dynamodb: Any) -> None:
        """Write a member that nobody else has, and follow it."""
        marker = uuid4().hex
        self._waiting[marker] = time.monotonic()
        item = {_KEY: {"S": f"followed-{marker}"}, "email": {"S": marker}, "name": {"S": "Followed"}}
        dynamodb.put_item(TableName=_TABLE, Item=item)

    def _search(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            waiting = list(self._waiting)
            if not waiting:
                continue
            body = {"size": len(waiting), "query": {"terms": {"email": waiting}}, "_source": ["email"]}
            answer = self._client.request("POST", f"/{ENTITY.name}/_search", body=body)
            now = time.monotonic()
            self.seconds += [now - self._waiting.pop(hit["_source"]["email"]) for hit in answer["hits"]["hits"]]


class Product:
    """Writes at a steady rate: every n-th is followed, the others change, delete and make again the first members.

    :param hot: share of these others that all go to one member
    :ivar written: writes so far
    """

    def __init__(
        self, dynamodb: Any, follower: Follower, *, rate: float, every: int, hot: float = 0.0, seed: int = 0
    ) -> None:
        self.written = 0
        self._hot, self._seed = hot, seed
        self._dynamodb, self._follower = dynamodb, follower
        self._rate, self._every = rate, every
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._began = self._ended = 0.0

    @property
    def achieved(self) -> float:
        """Writes per second."""
        return self.written / (self._ended - self._began)

    @contextmanager
    def at_work(self) -> Iterator["Product"]:
        """Write until the end of the block."""
        self._began = time.monotonic()
        with ThreadPoolExecutor(THREADS) as pool:
            working: list[Future[None]] = [pool.submit(self._work, self._seed + number) for number in range(THREADS)]
            try:
                yield self
            finally:
                self._stop.set()
            for done in working:
                done.result()
        self._ended = time.monotonic()

    def _work(self, seed: int) -> None:
        choose = random.Random(seed)
        while True:
            with self._lock:
                number, self.written = self.written, self.written + 1
            if self._stop.wait(max(0.0, self._began + number / self._rate - time.monotonic())):
                with self._lock:
                    self.written -= 1
                return
            if number % self._every == 0:
                self._follower.write(self._dynamodb)
            else:
                self._change(choose, number)

    def _change(self, choose: random.Random, number: int) -> None:
        member = 1 if choose.random() < self._hot else choose.randint(1, 5 if choose.random() < 0.3 else CHANGED)
        key = {_KEY: {"S": f"m-{member:07d}"}}
        if choose.random() < 0.25:
            self._dynamodb.delete_item(TableName=_TABLE, Key=key)
        else:
            self._dynamodb.put_item(TableName=_TABLE, Item={**key, "name": {"S": f"Name {number}"}})


@contextmanager
def delivery(folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """The event source mapping and its function, from the beginning of the stream."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "local.delivery", "--entity", ENTITY.name, "--folder", str(folder)]
    process = processes.spawn(command, folder=folder, log=folder / "stream.log", env=env, cwd=ROOT)
    try:
        yield
    finally:
        processes.stop(process)


def fill(client: Client, dynamodb: Any, count: int) -> float:
    """Make members, and wait until the stream has delivered them all. Returns records per second."""
    began = time.monotonic()
    members.generate(dynamodb, count)
    drain(client, dynamodb)
    return count / (time.monotonic() - began)


def drain(client: Client, dynamodb: Any) -> None:
    """Wait until all that was written is delivered: the stream has one shard, and one more write is its last."""
    with Follower(client).at_work(DRAIN_SECONDS) as last:
        last.write(dynamodb)


def rebuild(env: Mapping[str, str], folder: Path) -> None:
    """A reindex by the command line, in a process of its own.

    Its scan is held back, as one would where the product needs the table's capacity: the emulator, which counts a page
    as one unit, lets nobody write while it makes a page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "searchsync.cli.main", "reindex", ENTITY.name, "--read-units", "256"]
    with (folder / "reindex.log").open("w") as log:
        done = subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise WrongResult(f"the reindex failed; see {folder / 'reindex.log'}")


def compare(client: Client, dynamodb: Any) -> int:
    """Compare both indexes of the write set with the table, key by key, by content. Returns the members in the table.

    :raises WrongResult: when an index has another member, lacks one or has one otherwise
    """
    written = EntityIndexes(client, ENTITY).write_set()
    if len(written) != 2:
        raise WrongResult(f"the write set is {written}: not the index that was built and the one before it")
    pages = dynamodb.get_paginator("scan").paginate(TableName=_TABLE, ConsistentRead=True)
    wanted = {item[_KEY]["S"]: dynamodb_item.content_of(ENTITY, item) for page in pages for item in page["Items"]}
    for index in written:
        Index(client, index).refresh()
        missing, wrong = set(wanted), []
        for hit in Index(client, index).scroll({"term": {"sync.deleted": False}}, source=["*"]):
            missing.discard(hit["_id"])
            if wanted.get(hit["_id"]) != {name: value for name, value in hit["_source"].items() if name != "sync"}:
                wrong.append(hit["_id"])
        if missing or wrong:
            found = f"{len(missing)} members are missing, {len(wrong)} differ"
            raise WrongResult(f"{index}: {found}, among them {sorted(missing)[:5]} and {sorted(wrong)[:5]}")
    return len(wanted)
