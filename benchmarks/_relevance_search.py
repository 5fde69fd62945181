"""The ways to search that the benchmark of relevance compares, and how often each finds what was meant."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from benchmarks._relevance_cases import Case
from search_api.caller import EveryTenant
from search_api.query import build, parse
from search_api.query.searchable import Searchable
from searchsync.cluster.client import Client

HITS = 10


@dataclass(frozen=True)
class Way:
    """A way to search.

    :ivar index: the index that it searches
    :ivar body: makes the search of a case
    """

    name: str
    index: str
    body: Callable[[Case], bytes]


@dataclass
class Asked:
    """What one way found for the cases of one kind.

    :ivar places: for each case the place of the first right hit, from 1; infinite when there was none
    :ivar took: milliseconds of each search, as OpenSearch says them
    :ivar cpu: seconds of OpenSearch's processor time for all of them
    """

    places: list[float] = field(default_factory=list)
    took: list[int] = field(default_factory=list)
    cpu: float = 0.0

    def success(self, within: int) -> float:
        """Return the share of cases with a right answer among the first hits."""
        return sum(place <= within for place in self.places) / len(self.places)

    def as_dict(self, within: int) -> dict[str, float]:
        """Return the figures of a kind of question."""
        took = sorted(self.took)
        return {
            "cases": len(self.places),
            "success": round(self.success(within), 4),
            "reciprocal_rank": round(sum(1 / place for place in self.places) / len(self.places), 4),
            "took_p50": took[len(took) // 2],
            "took_p99": took[math.ceil(len(took) * 0.99) - 1],
            "cpu_ms": round(1000 * self.cpu / len(self.places), 2),
        }


def of_the_api(searchable: Searchable, case: Case) -> bytes:
    """Return the search that the API sends."""
    asked = parse.parse(searchable, [("q", case.q), ("limit", str(HITS)), *case.filters])
    return build.search_body(searchable, asked, EveryTenant())


def plain(searchable: Searchable, clause: Mapping[str, Any], case: Case) -> bytes:
    """Return the search of the API with another clause for what was typed: same filters, same order of equal scores."""
    body = msgspec.json.decode(of_the_api(searchable, case))
    body["query"]["bool"]["must"] = [clause]
    return msgspec.json.encode(body)


def multi_match(fields: Sequence[str], q: str) -> dict[str, Any]:
    """Return what one writes first."""
    return {"multi_match": {"query": q, "fields": list(fields), "fuzziness": "AUTO"}}


def ask(client: Client, way: Way, cases: Iterable[Case], cpu: Callable[[], float]) -> dict[str, Asked]:
    """Ask all cases, one after the other. Return what was found, by kind."""
    found: dict[str, Asked] = defaultdict(Asked)
    for case in cases:
        before = cpu()
        answer = client.request("POST", f"/{way.index}/_search?request_cache=false", body=way.body(case))
        asked = found[case.kind]
        asked.cpu += cpu() - before
        asked.took.append(answer["took"])
        hits = [hit["_id"] for hit in answer["hits"]["hits"]]
        asked.places.append(next((at for at, key in enumerate(hits, 1) if key in case.right), math.inf))
    return found
