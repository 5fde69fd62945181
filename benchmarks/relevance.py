"""Whether people find what they mean: the search API's one query, asked about real places and invented members.

    ./dev bench relevance [--cases N] [--seed N] [--members N] [--loads N]

Questions about the 234,908 places: the name as written, an alternate name, a name with one typo (two letters swapped,
one dropped or doubled, or that of a neighbour key) at any place, the first letters, a name with country or region, and
a name with a filter or a circle. Questions about members, whose family names are names of places: with and without
accents, in either order, with or without a middle initial, with a typo. ``_relevance_cases`` says what the right answer
is. Each kind is asked of the API's query, of ``multi_match`` with ``fuzziness: AUTO`` on the same index, and of both
queries for names that `docs/searching.md` had, on an index mapped as it was before the search API. The same documents
are loaded into both indexes in turn, to show what the mapping costs. Prints a table, then one line of JSON.

The query was tuned on other seeds than the default one.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import _relevance_cases as cases
from benchmarks import _relevance_load as loads
from benchmarks._bars import Bar, conclude, say
from benchmarks._loads import URL
from benchmarks._relevance_load import Loaded
from benchmarks._relevance_search import Asked, Way, ask, multi_match, of_the_api, plain
from benchmarks._runs import Servers
from benchmarks.reindex import OWNER_DSN
from local import sample_data
from search_api.query.searchable import Searchable
from searchsync.catalog import entity
from searchsync.cluster.client import Client, connect

FOLDER = "SEARCHSYNC_BENCH_DIR"
MOST_PRICE = 1.15
"""How much larger the index may be than before, and how much longer its load may take."""

_WARM = 100
"""Number of questions that a way answers before it is measured."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    options = _options(arguments)
    client, servers = connect(os.environ[URL]), Servers(Path(os.environ[FOLDER]))
    sample_data.load(os.environ[OWNER_DSN])
    bodies = loads.place_bodies()
    documents = list(loads.places_of(bodies))
    families = sorted({one["name"] for one in documents if one["name"].isalpha() and len(one["name"]) >= 4})
    people = cases.people(families, options.members, 1)
    figures: dict[str, Any] = {"benchmark": "relevance", "seed": options.seed, "places": len(documents)}
    bars: list[Bar] = []
    for name, kinds, sent, asked in (
        ("locations", cases.PLACES, bodies, cases.Places(documents).cases(options.cases, options.seed)),
        ("members", cases.PEOPLE, loads.people_bodies(people), cases.People(people).cases(options.cases, options.seed)),
    ):
        before, after = _load(client, name, sent, options.loads)
        found = _ask_all(client, _ways(name, before.index, after.index), list(asked), lambda: servers.cpu()[1])
        say(_table(kinds, found))
        bars += [*_bars(kinds, found["search API"]), *_price(name, before, after)]
        asked_of = {way: {kind.name: of[kind.name].as_dict(kind.within) for kind in kinds} for way, of in found.items()}
        figures[name] = {"ways": asked_of, "before": vars(before), "after": vars(after)}
    return conclude("", figures, bars)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench relevance", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=500, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261201, help="of the questions (default: %(default)s)")
    parser.add_argument("--members", type=int, default=50_000, help="(default: %(default)s)")
    parser.add_argument("--loads", type=int, default=3, help="of each index (default: %(default)s)")
    return parser.parse_args(arguments)


def _load(client: Client, name: str, bodies: Sequence[bytes], count: int) -> tuple[Loaded, Loaded]:
    """Load the index as it was and as it is, in turn; return the last of each, with its median rate."""
    body = entity(name).index_body
    found: dict[str, list[Loaded]] = {"before": [], "after": []}
    for _ in range(count):
        for when, mapped in (("before", loads.before(name, body)), ("after", body)):
            found[when].append(loads.load(client, f"{name}-{when}", mapped, bodies))
    before, after = (replace(some[-1], rate=median(one.rate for one in some)) for some in found.values())
    for when, one in (("before", before), ("after", after)):
        say(f"{name} {when}: {one.rate:,.0f} docs/s, {one.size / 1e6:.1f} MB")
    return before, after


def _ways(name: str, before: str, after: str) -> list[Way]:
    searchable = Searchable.of(entity(name))
    others = searchable.text.other_names
    clauses: list[tuple[str, str, Callable[[str], dict[str, Any]]]] = [
        ("multi_match AUTO", after, functools.partial(multi_match, ["name.plain^3", *others])),
        ("before: as typed", before, lambda q: {"match": {"name": {"query": q, "operator": "and"}}}),
        ("before: misspelt", before, lambda q: {"match": {"name.plain": {"query": q, "fuzziness": "AUTO"}}}),
    ]
    ways = [Way("search API", after, functools.partial(of_the_api, searchable))]
    for title, index, clause in clauses:
        ways.append(Way(title, index, lambda case, clause=clause: plain(searchable, clause(case.q), case)))  # type: ignore[misc]
    return ways


def _ask_all(
    client: Client, ways: Sequence[Way], asked: Sequence[cases.Case], cpu: Callable[[], float]
) -> dict[str, dict[str, Asked]]:
    for way in ways:
        ask(client, way, asked[:: max(1, len(asked) // _WARM)], cpu)
    return {way.name: ask(client, way, asked, cpu) for way in ways}


def _table(kinds: Sequence[cases.Kind], found: dict[str, dict[str, Asked]]) -> str:
    rows = [["", "within", *found]]
    for kind in kinds:
        shares = [f"{asked[kind.name].success(kind.within):.3f}" for asked in found.values()]
        rows.append([kind.name, str(kind.within), *shares])
    for title, figure in (("took, median ms", "took_p50"), ("took, p99 ms", "took_p99"), ("CPU, ms", "cpu_ms")):
        rows.append([title, "", *(f"{_over_all(asked)[figure]:.2f}" for asked in found.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _over_all(found: dict[str, Asked]) -> dict[str, float]:
    """Return the figures of all kinds together."""
    whole = Asked()
    for asked in found.values():
        whole.places += asked.places
        whole.took += asked.took
        whole.cpu += asked.cpu
    return whole.as_dict(1)


def _bars(kinds: Sequence[cases.Kind], found: dict[str, Asked]) -> list[Bar]:
    return [
        Bar(f"{kind.name}: success at {kind.within}", found[kind.name].success(kind.within), least=kind.least)
        for kind in kinds
        if kind.least
    ]


def _price(name: str, before: Loaded, after: Loaded) -> list[Bar]:
    return [
        Bar(f"{name}: size of the index, after / before", after.size / before.size, most=MOST_PRICE),
        Bar(f"{name}: time of a load, after / before", before.rate / after.rate, most=MOST_PRICE),
    ]


if __name__ == "__main__":
    sys.exit(main())
