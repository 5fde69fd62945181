"""The load of ``./dev bench chaos``: programs that write both sources, and people who search, whatever happens."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests
from botocore.exceptions import BotoCoreError, ClientError

from local import members

SEARCHERS = 4
SEARCH_PAUSE, ROWS_PAUSE, ITEMS_PAUSE = 0.2, 0.25, 0.1
LATEST_SECONDS = 7.0
"""The deadline of a request is 5 seconds; the rest is for a busy machine."""

_TABLE, (_KEY,), _TENANT = members.ENTITY.table, members.ENTITY.key, str(members.ENTITY.tenant)
_WORDS = ("ber", "lon", "san", "new", "port", "ada", "mei", "silva", "kim", "renamed")


@dataclass(frozen=True)
class Sources:
    """How programs reach the sources: past the links, for what is cut or slow is between the sources and the indexes.

    :ivar owner: address of PostgreSQL's database, as the owner of the table
    :ivar dynamodb: a client
    """

    owner: str
    dynamodb: Any


@dataclass
class Load:
    """All who write and search.

    :param url: of the search API
    :param tokens: of each tenant
    :ivar answers: of the case that goes on: by status, ``stale`` apart, and ``no answer``
    :ivar violations: what no caller should ever get, with an example
    :ivar writes: by source; ``refused`` while it was away
    """

    sources: Sources
    url: str
    tokens: dict[str, str]
    seed: str
    answers: Counter[str] = field(default_factory=Counter)
    violations: dict[str, str] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    may_be_silent: bool = False
    slowest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at_work(self) -> Iterator["Load"]:
        """Write and search until the end of the block; then nothing is on its way any more."""
        self._stop.clear()
        work: list[Callable[[random.Random], None]] = [self._rows, self._items, *[self._search] * SEARCHERS]
        threads = [
            threading.Thread(target=one, args=(random.Random(f"{self.seed} {number}"),), daemon=True)
            for number, one in enumerate(work)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def mark(self) -> str:
        """Write an item that nobody else has. Return its id."""
        marker = f"chaos-{time.time_ns()}"
        item = {_KEY: {"S": marker}, "name": {"S": "Marked"}, _TENANT: {"S": members.TENANTS[0]}}
        self.sources.dynamodb.put_item(TableName=_TABLE, Item=item)
        return marker

    def sees(self, key: str) -> bool:
        """Return whether an item is found by its id, through the search API."""
        answer = self._get(f"/v1/{members.ENTITY.name}/{key}", {}, members.TENANTS[0])
        return answer is not None and answer.status_code == 200

    def is_answered(self) -> bool:
        """Return whether each tenant gets an answer that nobody has kept."""
        asked = [{"q": f"{random.getrandbits(60):x}"} for _ in self.tokens]
        found = [self._get("/v1/locations/search", one, who) for one, who in zip(asked, self.tokens, strict=True)]
        return all(one is not None and one.headers.get("X-Cache") == "miss" for one in found)

    def _rows(self, choose: random.Random) -> None:
        """Change rows of PostgreSQL, delete some and add some."""
        connection = None
        while not self._stop.wait(ROWS_PAUSE):
            try:
                connection = connection or psycopg.connect(self.sources.owner, autocommit=True, connect_timeout=3)
                self._change_rows(connection, choose)
                self.writes["rows"] += 1
            except psycopg.Error:
                self.writes["rows refused"] += 1
                connection = None

    def _change_rows(self, connection: "psycopg.Connection[Any]", choose: random.Random) -> None:
        some = connection.execute("SELECT location_id FROM locations TABLESAMPLE SYSTEM (5) LIMIT 400").fetchall()
        key = choose.choice(some)[0] if some else 0
        kind = choose.random()
        if kind < 0.7:
            query = "UPDATE locations SET name = %s, updated_at = now() WHERE location_id = %s"
            connection.execute(query, [f"renamed {choose.random()}", key])
        elif kind < 0.85:
            connection.execute("DELETE FROM locations WHERE location_id = %s", [key])
        else:
            new = "SELECT max(location_id) + 1, %s, 'DE', 1, 1 FROM locations"
            columns = "location_id, name, country, latitude, longitude"
            connection.execute(f"INSERT INTO locations ({columns}) {new}", [f"added {choose.random()}"])

    def _items(self, choose: random.Random) -> None:
        """Put and delete items of DynamoDB, some of them again and again."""
        while not self._stop.wait(ITEMS_PAUSE):
            number = choose.randint(1, 5 if choose.random() < 0.3 else members.SAMPLE_MEMBERS)
            key = {_KEY: {"S": f"m-{number:07d}"}}
            item = {"name": {"S": f"renamed {choose.random()}"}, _TENANT: {"S": choose.choice(members.TENANTS)}}
            try:
                if choose.random() < 0.25:
                    self.sources.dynamodb.delete_item(TableName=_TABLE, Key=key)
                else:
                    self.sources.dynamodb.put_item(TableName=_TABLE, Item={**key, **item})
                self.writes["items"] += 1
            except (BotoCoreError, ClientError):
                self.writes["items refused"] += 1

    def _search(self, choose: random.Random) -> None:
        """Ask as people of all tenants, sometimes what was asked before, and judge each answer."""
        while not self._stop.wait(choose.expovariate(1 / SEARCH_PAUSE)):
            tenant, word = choose.choice(list(self.tokens)), choose.choice(_WORDS)
            entity = choose.choice(("locations", members.ENTITY.name))
            query = {"q": word, "limit": str(choose.randint(1, 10))}
            began = time.monotonic()
            answer = self._get(f"/v1/{entity}/search", query, tenant)
            self.judge(answer, tenant if entity == members.ENTITY.name else "", time.monotonic() - began)

    def judge(self, answer: requests.Response | None, tenant: str, seconds: float) -> None:
        """Count an answer, and complain of one that nobody should get.

        :param tenant: whose documents alone it may have; empty for everybody's
        """
        cache = answer.headers.get("X-Cache", "") if answer is not None else ""
        status = answer.status_code if answer is not None else 0
        with self._lock:
            self.answers["no answer" if answer is None else "stale" if cache == "stale" else str(status)] += 1
            self.slowest = max(self.slowest, seconds)
        if answer is None:
            if not self.may_be_silent:
                self._complain("no answer", f"after {seconds:.1f} s")
        elif status == 200:
            hits = answer.json()["hits"]
            foreign = [hit["id"] for hit in hits if tenant and hit["document"].get(_TENANT) != tenant]
            if foreign:
                self._complain("another tenant's document", f"{foreign} for {tenant}")
        elif status not in (429, 503) or not answer.headers.get("Retry-After", "").isdigit():
            self._complain(f"status {status}", answer.text[:300])
        if answer is not None and seconds > LATEST_SECONDS:
            self._complain("late", f"{seconds:.1f} s")

    def _complain(self, what: str, example: str) -> None:
        with self._lock:
            self.violations.setdefault(what, example)

    def _get(self, path: str, query: dict[str, str], tenant: str) -> requests.Response | None:
        with suppress(requests.RequestException):
            head = {"Authorization": f"Bearer {self.tokens[tenant]}"}
            return requests.get(self.url + path, params=query, headers=head, timeout=30)
        return None
