"""Does a new index answer as the live one does? Of searches that people made, before the swap."""

from collections.abc import Mapping
from typing import Any

from searchsync.canary.policy import Searches
from searchsync.errors import BadParams

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"


def judge(limits: Searches, found: Mapping[str, Any]) -> tuple[str, str]:
    """Return the verdict on a new index, and why.

    :param found: ``compared`` of the search API's answer (docs/search-api.md): ``queries``, ``unanswered``,
        ``overlap``, ``rank``, ``live_ms``, ``new_ms``
    :raises BadParams: when it is something else: then the API is of another version
    """
    names = ("queries", "unanswered", "overlap", "rank", "live_ms", "new_ms")
    if any(name not in found for name in names):
        raise BadParams(f"the search API answered {dict(found)!r:.200} and not with {', '.join(names)}")
    queries, unanswered, overlap, rank, live, new = (found[name] for name in names)
    shown = f"{queries} queries, overlap {overlap}, rank {rank}, {live} ms before and {new} ms now"
    if queries < limits.queries or overlap is None or live is None or new is None:
        return INCONCLUSIVE, f"{shown}: {limits.queries} queries are needed that both indexes answer"
    if overlap < limits.overlap:
        return FAIL, f"{shown}: an overlap of {limits.overlap} is demanded"
    if rank is not None and rank < limits.rank:
        return FAIL, f"{shown}: a rank of {limits.rank} is demanded"
    if unanswered:
        return INCONCLUSIVE, f"{shown}: {unanswered} more that the live index answers, the new one does not"
    if new > limits.slower * live:
        return INCONCLUSIVE, f"{shown}: it takes more than {limits.slower} times as long"
    return PASS, shown
