"""Development tokens: whoever can get one may read everything that its tenant has."""

import pytest
from starlette.routing import Router

from search_api.edge import Edge
from search_api.engine.target import Target
from search_api.routes import development
from search_api.settings import Settings
from tests.unit.search_api.asgi import call

POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_TEST"


def router(**changes: object) -> Router:
    given = {"environment": "development", "issuer": POOL, "audience": ("client",), "cognito_url": "http://127.0.0.1:9"}
    return Router(development.routes(Settings(Target("http://127.0.0.1:9"), **{**given, **changes})))  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"environment": "production"}, {"cognito_url": ""}])
def test_production_has_no_such_address(changes: dict[str, str]) -> None:
    assert router(**changes).routes == []
    assert len(router().routes) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8080"}, 503),  # it is asked of the pool, which is away here
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "same-origin"}, 503),
        ({"host": "[::1]:8080"}, 503),
        ({"host": "[::1]"}, 503),
        ({"host": "attacker.example.com:8080"}, 403),
        ({"host": "localhost.example.com"}, 403),
        ({"host": ""}, 403),
        ({}, 403),
        ({"host": "localhost:8080", "sec-fetch-site": "cross-site"}, 403),
        ({"host": "localhost:8080", "sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_origin_gets_none(headers: dict[str, str], status: int) -> None:
    """Its name may have been made to lead to this machine (DNS rebinding), or it may just send the request."""
    asked = call(Edge(router()), "/dev/identities", headers=headers.items())
    assert asked.status == status
    body = [b'{"tenant": "a", "role": "admin"}']
    sent = {**headers, "content-type": "application/json"}
    assert call(Edge(router()), "/dev/token", "POST", sent.items(), body).status == status
