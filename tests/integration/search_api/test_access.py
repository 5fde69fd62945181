"""Who gets in over HTTP, and how often: what callers meet of tokens, roles and limits. No OpenSearch runs."""

from local import ports
from local import redis as local_redis
from tests.search_service import serving
from tests.user_pool import bearer

NOBODY = f"http://{ports.LOOPBACK}:1"
ASKS = ("/v1/entities", "/v1/members/search?q=x", "/v1/members/m-1", "/v1/members/suggest?q=x")


def test_nothing_is_told_without_a_token_that_is_accepted(redis_server: local_redis.Server) -> None:
    """Lost otherwise: an address that forgets to ask who is there."""
    with serving(NOBODY, redis_server.url) as service:
        for token in (None, "Basic YTpi", bearer(iss="https://example.com"), bearer(tenant=None)):
            answers = [service.get(path, token) for path in ASKS]
            answers += [service.post(path, {}, token) for path in ("/v1/members/search", "/v1/members/warm?index=x")]
            for answer in answers:
                assert answer.status_code == 401, answer.url
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["content-type"] == "application/problem+json"


def test_only_who_may_warm_does(redis_server: local_redis.Server) -> None:
    """Lost otherwise: any user has the cache filled, and keeps OpenSearch busy before each swap."""
    with serving(NOBODY, redis_server.url) as service:
        for role in ("tenant_user", "tenant_admin"):
            answer = service.post("/v1/members/warm?index=x", {}, bearer(groups=[role]))
            assert answer.status_code == 403
            assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
        for role in ("service", "admin"):
            answer = service.post("/v1/members/warm?index=x", {}, bearer(groups=[role]))
            assert answer.status_code == 503, "it is let in, and finds no OpenSearch"


def test_a_tenant_that_asks_too_often_is_told_to_wait_and_no_other(redis_server: local_redis.Server) -> None:
    with serving(NOBODY, redis_server.url, tenant_requests_a_minute=3) as service:
        answers = [service.get("/v1/entities") for _ in range(9)]  # the minute may change between them, once
        assert {answer.status_code for answer in answers} == {200, 429}
        assert [answers[0].headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining")] == ["3", "2"]
        last = answers[-1]
        assert (last.status_code, last.json()["title"]) == (429, "Too many requests of tenant")
        assert 1 <= int(last.headers["retry-after"]) <= 120
        assert last.headers["x-ratelimit-remaining"] == "0"
        assert service.get("/v1/entities", bearer(tenant="b")).status_code == 200


def test_an_address_is_that_of_the_connection_unless_a_proxy_is_trusted(redis_server: local_redis.Server) -> None:
    """Lost otherwise: who tries tokens writes another address into each request, and is never slowed down."""

    def statuses(trusted: int) -> set[int]:
        with serving(NOBODY, redis_server.url, address_requests_a_minute=3, trusted_proxies=trusted) as service:
            headers = [{"x-forwarded-for": f"198.51.{trusted}.{number}"} for number in range(9)]
            return {service.http.get("/v1/entities", headers=one).status_code for one in headers}

    assert statuses(trusted=1) == {401}
    assert statuses(trusted=0) == {401, 429}


def test_a_service_that_has_no_keys_is_not_ready_and_blames_no_token(redis_server: local_redis.Server) -> None:
    """Lost otherwise: a user pool that is away signs everybody out."""
    with serving(NOBODY, redis_server.url, jwks_url=f"{NOBODY}/keys") as service:
        answer = service.get("/v1/entities")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "www-authenticate" not in answer.headers
        ready = service.http.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["dependencies"]["keys"] == "away"
