"""What the hash of the document costs beside that of the table's row, which was there before: the server alone.

No index is written. Processor time, because it is the same on a busy machine; of all of PostgreSQL's processes.
"""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import psycopg

from benchmarks._bars import Bar, say
from benchmarks._loads import DSN, ENTITY, source_of
from benchmarks._runs import Servers
from searchsync.operations import reindex
from searchsync.sources.postgres_sql import Partition

MOST = 1.25
ROWS_A_PAGE = 7_000

_BUCKET = '(hashtextextended(r._id COLLATE "C", 0) & 1023)'
_ROWS = ENTITY.sql.replace("AS _id,", "AS _id, hash_record_extended(l, 0) AS _hash,")
_DOCUMENT = """location_id, r.name, r.alternate_names, r.region, r.country, r.coordinates, r.population, r.timezone,
    r.rate, r.active, r.created_at, r.updated_at"""
_PAGE = f"""
    SELECT convert_to(string_agg(line, '' ORDER BY r.location_id) FILTER (WHERE ok), 'UTF8'), count(*),
           (array_agg(r.location_id ORDER BY r.location_id))[count(*)]
    FROM (SELECT *, sum(octet_length(line)) OVER (ORDER BY r.location_id ROWS UNBOUNDED PRECEDING) AS total
    FROM (SELECT r._id, octet_length(r._id) BETWEEN 1 AND 512 AS ok, r.location_id,
        concat('{{"create":{{"_id":', to_json(r._id), '}}}}' || chr(10) || '{{"sync":{{"position":"{"0" * 56}",',
        '"deleted":false,"written_at":"2026-01-01T00:00:00.000Z","bucket":', {_BUCKET},
        ',"hash_high":', (r._hash >> 32) & 4294967295, ',"hash_low":', r._hash & 4294967295, '}},',
        right(row_to_json(d)::text, -1), chr(10)) AS line
    FROM (SELECT * FROM ({_ROWS}) AS r WHERE r.location_id > %s ORDER BY r.location_id LIMIT {ROWS_A_PAGE}) AS r
    CROSS JOIN LATERAL (SELECT r.{_DOCUMENT}) AS d OFFSET 0) AS r) AS r
    WHERE total <= {reindex.BULK_BYTES} OR total = octet_length(line)"""
_SUMS = f"""
    SELECT {_BUCKET}, count(*), sum((r._hash >> 32) & 4294967295)::bigint, sum(r._hash & 4294967295)::bigint
    FROM (SELECT _id, _hash FROM ({_ROWS}) AS r) AS r GROUP BY 1"""


def run(machine: Servers, rows: int, runs: int) -> tuple[list[Bar], dict[str, Any]]:
    """Measure both ways in turn.

    :param rows: that the table has
    :returns: what was promised, and the medians: seconds of a processor, and for the sums those by the clock, too
    """
    ways = {"row": (_pages_before, _sums_before), "document": (_pages_now, _sums_now)}
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(runs):
        for way in sorted(ways, reverse=bool(number % 2)):
            for what, measured in zip(("rendering", "comparing"), ways[way], strict=True):
                found.setdefault(f"{what}, hash of the {way}", []).append(_measure(machine, measured, rows))
    figures = {
        name: {"cpu": median(cpu for cpu, _ in taken), "seconds": median(seconds for _, seconds in taken)}
        for name, taken in found.items()
    }
    for name, taken in figures.items():
        say(f"{name:32} {taken['cpu']:8.2f} s of a processor {taken['seconds']:8.2f} s by the clock")
    ratio = figures["rendering, hash of the document"]["cpu"] / figures["rendering, hash of the row"]["cpu"]
    return [Bar("rendering a document with its hash / with its row's", ratio, most=MOST)], figures


def _measure(machine: Servers, measured: Callable[[], int], rows: int) -> tuple[float, float]:
    began, before = time.perf_counter(), machine.cpu()[2]
    done = measured()
    seconds = time.perf_counter() - began
    if done != rows:
        raise RuntimeError(f"{done} rows instead of {rows}")
    return machine.cpu()[2] - before, seconds


def _pages_now() -> int:
    source = source_of()
    try:
        return sum(page.count for page in source.pages(Partition(), page_bytes=reindex.BULK_BYTES))
    finally:
        source.close()


def _sums_now() -> int:
    source = source_of()
    try:
        return sum(count for count, _, _ in source.fingerprints().values())
    finally:
        source.close()


def _before(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SET jit = off; SET TimeZone = 'UTC'; SET search_path = public")


def _pages_before() -> int:
    total, last = 0, -1
    with psycopg.connect(os.environ[DSN], autocommit=True) as connection:
        _before(connection)
        while True:
            _, count, after = connection.execute(_PAGE.encode(), [last], binary=True).fetchone() or (b"", 0, None)
            if not count:
                return total
            total, last = total + count, after


def _sums_before() -> int:
    with psycopg.connect(os.environ[DSN], autocommit=True) as connection:
        _before(connection)
        return sum(row[1] for row in connection.execute(_SUMS.encode()).fetchall())
