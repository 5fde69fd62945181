"""How often the servers behind this service fail: a metric of its own, because searches may hide it for a while."""

from prometheus_client import Counter

FAILURES = Counter(
    "search_api_failed_calls", "Calls that a server did not answer, or that were not made because it fails", ("server",)
)
