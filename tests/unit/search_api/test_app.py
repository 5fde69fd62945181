"""The application without any server behind it: what is answered where, and to whom."""

import re
from functools import cache

import pytest
from fastapi import FastAPI

from search_api.app import create_app
from search_api.engine.target import Target
from search_api.settings import Settings
from tests.unit.search_api.asgi import call


@cache
def app(**changes: object) -> FastAPI:
    given: dict[str, object] = {
        "environment": "development",
        "issuer": "http://127.0.0.1:9/pool",
        "audience": ("client",),
    }
    given |= {"redis_url": "redis://127.0.0.1:9", "cursor_keys": (b"k" * 32,)}
    return create_app(Settings(Target("http://127.0.0.1:9"), **{**given, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "target", "status", "allowed"),
    [
        ("GET", "/nowhere", 404, None),
        ("GET", "/docs", 404, None),
        ("PUT", "/v1/locations/search", 405, "GET, HEAD, POST"),
        ("DELETE", "/v1/locations/1", 405, "GET, HEAD"),
        ("GET", "/v1/locations/warm", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("OPTIONS", "/v1/locations/search", 405, "GET, HEAD, POST"),
    ],
)
def test_an_unknown_address_or_method_is_a_problem(method: str, target: str, status: int, allowed: str | None) -> None:
    """Errors of the framework look as all others: whoever calls has one form to read."""
    answer = call(app(), target, method)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers.get("allow") == allowed
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.json["next_step"]
    path, _, code = answer.json["type"].partition("#")
    assert f'<dt id="{code}">' in call(app(), path).body.decode(), "the type leads to what it means"


@pytest.mark.parametrize("key", ["a/b", "a\nb", "a\n", "..", "ORDER#7|42", "é"])
def test_any_id_is_asked_for_as_it_is(key: str) -> None:
    """Keys of tables are any text: whoever has a token must get past the address of each."""
    answer = call(app(), f"/v1/members/{key}")
    assert (answer.status, answer.json["title"]) == (401, "Token missing")


def test_pages_of_other_origins_get_nothing_unless_they_are_allowed() -> None:
    """Else any page that somebody visits may search with what their browser knows."""
    origin = "https://shop.example.com"
    asks = [("origin", origin), ("access-control-request-method", "GET")]
    closed = call(app(), "/v1/locations/search", "OPTIONS", asks)
    assert closed.status == 405
    assert not [name for name in closed.headers if name.startswith("access-control")]
    opened = app(allowed_origins=(origin,))
    assert call(opened, "/v1/locations/search", "OPTIONS", asks).headers["access-control-allow-origin"] == origin
    other = call(opened, "/health", headers=[("origin", "https://other.example.com")])
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-credentials" not in other.headers


@pytest.mark.parametrize(("target", "status"), [("/health", 200), ("/v1/locations/search", 401), ("/nowhere", 404)])
def test_pages_of_allowed_origins_may_read_problems_too(target: str, status: int) -> None:
    """A browser shows an answer without these headers as none: the page could not tell 401 from an outage."""
    origin = "https://shop.example.com"
    answer = call(app(allowed_origins=(origin,)), target, headers=[("origin", origin)])
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, origin)
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_the_page_has_no_script_and_no_style_within() -> None:
    """Its content security policy allows none, so that a script that gets into it does not run."""
    page = (call(app(), "/").body + call(app(), "/problems").body).decode()
    assert "<script>" not in page
    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)


@pytest.mark.parametrize("target", ["/", "/page/app.js", "/openapi.json"])
def test_what_never_changes_is_sent_once(target: str) -> None:
    first = call(app(), target)
    again = call(app(), target, headers=[("if-none-match", first.headers["etag"])])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert "content-length" not in again.headers  # it would be that of the answer that has not changed
    assert again.headers["vary"] == first.headers["vary"]
    assert again.headers["etag"] == first.headers["etag"]


def test_the_description_is_valid_and_names_each_address() -> None:
    """Else no client can be made from it."""
    from openapi_spec_validator import validate  # type: ignore[import-not-found,unused-ignore]

    described = call(app(), "/openapi.json").json
    validate(described)
    assert {"/v1/locations/search", "/v1/members/{id}", "/v1/members/suggest", "/health"} <= described["paths"].keys()


def test_what_each_address_with_a_token_may_refuse_is_described() -> None:
    """A client that is made from the description fails at an answer that it does not name."""
    described = call(app(), "/openapi.json").json
    long = "?q=" + "a" * 9_000
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if operation["security"]:
                refused = call(app(), path.replace("{id}", "1") + long, method.upper())
                assert refused.status == 414
                assert {"400", "401", "403", "414", "429", "431", "503", "504"} <= operation["responses"].keys()
