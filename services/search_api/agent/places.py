"""How many questions are answered at a time: each costs money, and holds threads."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from search_api.problems import Problem

AT_ONCE: Final = 8
"""Questions of all tenants in this process."""

OF_ONE_TENANT: Final = 4


class Places:
    """The questions that are being answered."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, tenant: str) -> Iterator[None]:
        """Hold a place while the block runs.

        :raises Problem: 503 when there is none
        """
        if self._taken.total() >= AT_ONCE or self._taken[tenant] >= OF_ONE_TENANT:
            detail = "As many questions are being answered as can be at a time."
            step = "Ask again in a moment."
            raise Problem(503, "agent-busy", detail, next_step=step, headers={"Retry-After": "2"})
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]
