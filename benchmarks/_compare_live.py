"""Members that change all the while, with faults among them, compared with their index."""

import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _compare, _stream_live, _stream_runs
from benchmarks._bars import Bar, say
from benchmarks._loads import URL
from benchmarks._runs import WrongResult
from benchmarks._stream_live import CHANGED, Follower, Product
from benchmarks._stream_load import ENTITY
from local import airflow, tables
from searchsync.cluster.client import Client
from searchsync.compare.differences import CONTENT, GRACE_SECONDS, LARGEST_SAMPLE, MISSING, ORPHAN, STALE

RATE = 100.0
"""Writes per second that are tried."""

LEAST_RATE = 90.0
HOT = 0.2
"""Share of the writes that one member takes at least."""

READ_UNITS = 256.0
"""Of the scan under writes: a megabyte a second, because the emulator lets nobody write while it makes a page."""

EACH = 3
"""Faults of each kind."""

LEAST_MEMBERS = 1_000

Found = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """What was found; every comparison looks at all documents field by field.

    :ivar rate: writes per second, from the first comparison's begin to the second one's end
    :ivar oldest: seconds from a write to the search that shows it, at worst meanwhile
    :ivar first: under writes, with the faults; it repairs them
    :ivar second: under writes, after the repair
    :ivar last: without writes, all of them delivered; its scan is not held back
    :ivar nightly: the same once more, with as small a sample as the DAG takes
    """

    members: int
    seed: int
    rate: float
    writes: int
    oldest: float
    first: Found
    second: Found
    last: Found
    nightly: Found

    def bars(self) -> list[Bar]:
        """What was promised; that nothing but the faults is found is no bar: the benchmark fails."""
        return [Bar("writes/s while members were compared", self.rate, least=LEAST_RATE)]

    def __str__(self) -> str:
        written = f"{self.writes:,} writes, {self.rate:.1f}/s, more than one in {1 / HOT:.0f} of them to one member"
        alone = f"{self.first['seconds'] - GRACE_SECONDS:.1f} s without the grace between its looks"
        lines = [
            f"{written}; a change was {self.oldest:.1f} s old at worst",
            f"{_line('with the faults', self.first)}; {alone}",
            _line("after the repair", self.second),
            _line("writes ended", self.last),
            _line("the same, sampled", self.nightly),
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        names = ("members", "seed", "rate", "writes", "oldest")
        found = {name: _figures(getattr(self, name)) for name in ("first", "second", "last", "nightly")}
        return {**{name: getattr(self, name) for name in names}, **found}


def run(client: Client, folder: Path, count: int, seed: int) -> Compared:
    """Fill an index by the stream, and compare it while members are written, deleted and written again.

    :raises WrongResult: when anything but exactly the faults is confirmed, or anything at all after the repair
    """
    say(f"{count:>12,} members, seed {seed}")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    dynamodb = tables.client("dynamodb", endpoint)
    env = airflow.environment({**airflow.aws_environment(endpoint), URL: os.environ[URL]})
    with ExitStack() as stack:
        _stream_runs.sweep(client)
        stack.callback(_stream_runs.sweep, client)
        index = _stream_runs.serve(client, endpoint)
        stack.enter_context(_stream_live.delivery(folder, env))
        delivered = _stream_live.fill(client, dynamodb, count)
        say(f"  made and delivered: {delivered:,.0f} records/s")
        return _compare_all(client, dynamodb, index, count, seed)


def _compare_all(client: Client, dynamodb: Any, index: str, count: int, seed: int) -> Compared:
    everything = LARGEST_SAMPLE + 1  # a fault with its hash intact is found by a sample only: it has to hold all
    injected = _inject(client, index, count, seed)
    follower = Follower(client)
    product = Product(dynamodb, follower, rate=RATE, every=25, hot=HOT, seed=seed)
    with follower.at_work(), product.at_work():
        time.sleep(1)
        first = _compare.run(ENTITY.name, index, sample=everything, read_units=READ_UNITS, repair=True)
        second = _compare.run(ENTITY.name, index, sample=everything, read_units=READ_UNITS)
    _stream_live.drain(client, dynamodb)
    last = _compare.run(ENTITY.name, index, sample=everything)
    nightly = _compare.run(ENTITY.name, index)
    found = Compared(
        count, seed, product.achieved, product.written, max(follower.seconds), first, second, last, nightly
    )
    say("\n".join(f"  {line}" for line in str(found).splitlines()))
    _verify(found, injected)
    return found


def _inject(client: Client, index: str, count: int, seed: int) -> dict[str, str]:
    """Damage documents of members that nobody writes. Returns the kind of each fault by key."""
    kinds = EACH * (MISSING, ORPHAN, STALE, CONTENT)
    numbers = random.Random(seed).sample(range(CHANGED + 1, count + 1), len(kinds))
    injected = {}
    for number, kind in zip(numbers, kinds, strict=True):
        key = f"m-{number:07d}"
        document = client.request("GET", f"/{index}/_doc/{key}")["_source"]
        if kind == MISSING:
            client.request("DELETE", f"/{index}/_doc/{key}")
        else:
            if kind == ORPHAN:
                key = f"orphan-{number}"
            elif kind == STALE:
                document["name"] = "older"
                document["sync"] |= {"hash_high": number, "hash_low": number}
            else:
                document["city"] = "edited"
            client.request("PUT", f"/{index}/_doc/{key}", body=document)
        injected[key] = kind
    return injected


def _verify(found: Compared, injected: dict[str, str]) -> None:
    first, total = _kinds(found.first), len(injected)
    if first != injected:
        wrong = {key: kind for key, kind in first.items() if injected.get(key) != kind}
        lacking = {key: kind for key, kind in injected.items() if key not in first}
        raise WrongResult(
            f"seed {found.seed}: of {total} faults {lacking} are not confirmed; {wrong} are, and are none"
        )
    repaired = found.first["repaired"]
    if (repaired["written"], repaired["rejected"]) != (total, 0):
        raise WrongResult(f"seed {found.seed}: {total} faults were repaired as {repaired}")
    if left := _kinds(found.second):
        raise WrongResult(f"seed {found.seed}: after the repair, {left} are confirmed")
    for last in (found.last, found.nightly):
        if any(last[name] for name in ("confirmed", "suspects", "moving", "unequal_buckets")):
            raise WrongResult(f"seed {found.seed}: all is delivered, and the comparison finds {_figures(last)}")
    counts = {found.last[name] for name in ("source_count", "index_count", "sampled")}
    if len(counts) != 1:
        raise WrongResult(f"seed {found.seed}: of the table, of the index and compared are {sorted(counts)} members")


def _kinds(found: Found) -> dict[str, str]:
    return {finding["key"]: finding["kind"] for finding in found["findings"]}


def _figures(found: Found) -> Found:
    return {name: value for name, value in found.items() if name not in ("index", "findings", "pending")}


def _line(name: str, found: Found) -> str:
    kinds: Sequence[str] = [f"{count} {kind}" for kind, count in found["kinds"].items()]
    return (
        f"{name:18}{found['seconds']:6.1f} s, {found['rss'] / 1e6:.0f} MB, {found['sampled']:,} field by field: "
        f"{found['suspects']} suspects, {found['moving']} moving, confirmed {', '.join(kinds) or 'none'}"
    )
