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


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([("x-client-address", "1.2.3.4"), ("x-forwarded-for", "6.6.6.6, 10.0.0.1")], "1.2.3.4"),
        ([("x-client-address", "2001:db8::1")], "2001:db8::1"),
        ([("x-client-address", "")], "9.9.9.9"),
        ([("x-forwarded-for", "6.6.6.6, 10.0.0.1")], "9.9.9.9"),
    ],
)
def test_a_gateway_that_overwrites_a_header_is_believed(headers: list[tuple[str, str]], wanted: str) -> None:
    """Behind an HTTP API, ``X-Forwarded-For`` has addresses of AWS alone: all callers would share one limit."""
    assert address(scope_of("/", headers=headers, client="9.9.9.9"), 0, "x-client-address") == wanted
    assert address(scope_of("/", headers=headers, client="9.9.9.9"), 0) == "9.9.9.9"
