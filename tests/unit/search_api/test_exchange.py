"""Whose request it is: an address that the caller can choose would make the limits of addresses worthless."""

import pytest

from search_api.exchange import address
from tests.unit.search_api.asgi import scope_of


@pytest.mark.parametrize(
    ("proxies", "forwarded", "wanted"),
    [
        (0, ["6.6.6.6"], "9.9.9.9"),
        (1, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (2, ["6.6.6.6, 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
        (2, ["1.2.3.4"], "9.9.9.9"),
        (1, [], "9.9.9.9"),
        (1, [""], "9.9.9.9"),
        (1, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),  # a proxy that adds a line instead
        (2, ["6.6.6.6", "1.2.3.4", "10.0.0.1"], "1.2.3.4"),
    ],
)
def test_only_our_own_proxies_say_who_called(proxies: int, forwarded: list[str], wanted: str) -> None:
    scope = scope_of("/", headers=[("x-forwarded-for", value) for value in forwarded], client="9.9.9.9")
    assert address(scope, proxies) == wanted
