"""Each tenant's share of the searches under way: one with many slow searches leaves places to all others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from search_api.caller import Scope
from search_api.engine.client import EngineUnavailable


class Shares:
    """The searches of each tenant that OpenSearch has, or that wait for it.

    :param most: number that one tenant may have
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[Scope] = Counter()

    def __len__(self) -> int:
        """Return the number of tenants that have searches under way."""
        return len(self._under_way)

    @contextmanager
    def one(self, scope: Scope) -> Iterator[None]:
        """Count a search while the block runs.

        :raises EngineUnavailable: when the tenant has as many as it may have
        """
        if self._under_way[scope] >= self._most:
            raise EngineUnavailable("Too many searches of this tenant are waiting.")
        self._under_way[scope] += 1
        try:
            yield
        finally:
            self._under_way[scope] -= 1
            if not self._under_way[scope]:
                del self._under_way[scope]
