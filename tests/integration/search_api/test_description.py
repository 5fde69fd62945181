"""The description (OpenAPI) against the service: who writes a client from it must not be surprised."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok

from local import opensearch as local_opensearch
from local import redis as local_redis
from tests.search_service import Served, searching
from tests.user_pool import bearer

SEED = secrets.randbits(32)
BOUNDED = hypothesis.settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[*HealthCheck], phases=[Phase.generate]
)
CHECKED = ["not_a_server_error", "status_code_conformance", "content_type_conformance"]
CHECKED += ["response_headers_conformance", "response_schema_conformance"]
FILLED: dict[str, dict[str, Any]] = {
    "locations": {
        "1": {"location_id": 1, "name": "Berlin", "country": "DE", "coordinates": {"lat": 52.5, "lon": 13.4}}
    },
    "members": {"m-1": {"member_id": "m-1", "tenant_id": "a", "name": "Berta Berg", "city": "Berlin"}},
}


@pytest.fixture(scope="module")
def api(opensearch_server: local_opensearch.Server, redis_folder: Path) -> Iterator[Served]:
    redis = local_redis.start(redis_folder)
    limits = {"tenant_requests_a_minute": 10_000_000, "address_requests_a_minute": 10_000_000}
    with searching(opensearch_server, redis.url, FILLED, **limits) as served:
        yield served


def test_its_examples_run(api: Served) -> None:
    """An example that is refused is what a newcomer copies first."""
    described = api.get("/openapi.json", None).json()
    ran = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", [])
            keys = [*FILLED.get(path.removeprefix("/v1/").partition("/")[0], {})]
            target = path.replace("{id}", keys[0] if keys else "")
            given_ones = {one["name"]: one["example"] for one in parameters if "example" in one}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if path.endswith(("/warm", "/ask")):
                continue  # there is no index but live ones, and no agent (test_ask)
            query = {name: str(value).lower() for name, value in given_ones.items()}
            headers = {"authorization": bearer()} if operation["security"] else {}
            answer = api.http.request(method, target, params=query, json=body.get("example"), headers=headers)
            assert answer.status_code == 200, f"{method} {target} {query}: {answer.text}"
            assert answer.json().get("hits", True), f"{method} {target} {query} finds nothing"
            ran += 1
    assert ran == 3 + 4 * len(FILLED)


@pytest.mark.parametrize("token", [bearer(), None], ids=["with a token", "without a token"])
def test_every_answer_is_as_described(api: Served, token: str | None) -> None:
    """Whatever the description allows, and what it does not, gets an answer that it describes, and never a 500."""
    print(f"seed {SEED}")
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json", config=SchemathesisConfig())
    checks: Any = CHECKS.get_by_names(CHECKED)
    headers = {"authorization": token} if token else {}
    for operation in [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]:
        refused = bool(operation.definition.raw["security"]) and not token
        cases = operation.as_strategy(GenerationMode.POSITIVE) | operation.as_strategy(GenerationMode.NEGATIVE)
        try_out(cases, checks, headers, refused=refused)


def try_out(cases: Any, checks: Any, headers: dict[str, str], *, refused: bool) -> None:
    """Send some cases of one operation, and look at each answer."""

    @hypothesis.seed(SEED)
    @BOUNDED
    @given(case=cases)
    def one(case: Case[Any]) -> None:
        answer = case.call(headers=headers)
        if refused:
            assert answer.status_code in (401, 405, 414, 431), answer.text
        case.validate_response(answer, checks=checks)

    one()
