"""What the emulated user pool hands out is what the service takes: else a newcomer could not search at all."""

import base64
import json
from typing import Any

import yaml

from local import cognito, search_api
from local.paths import ROOT
from search_api.caller import Role
from search_api.routes import development

SERVICES = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]


def claims(token: str) -> dict[str, Any]:
    """What a token says; nobody verifies it here."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_roles_are_those_of_the_service() -> None:
    assert set(cognito.ROLES) == set(Role)


def test_the_page_knows_the_password_of_all_users() -> None:
    assert development.PASSWORD == cognito.PASSWORD


def test_a_token_says_tenant_and_role_and_for_whom_it_is(aws_url: str) -> None:
    pool = cognito.ensure(aws_url)
    assert cognito.ensure(aws_url) == pool
    said = claims(cognito.token(pool, tenant="acme", role="service"))
    assert said["iss"] == pool.issuer
    assert (said["aud"], said["token_use"]) == (pool.client_id, "id")
    assert (said["custom:tenant_id"], said["cognito:groups"]) == ("acme", ["service"])
    again = claims(cognito.token(pool, tenant="acme", role="service"))
    assert again["sub"] == said["sub"], "one user for each tenant and role"


def test_every_emulator_has_the_same_pool(aws_url: str) -> None:
    """It keeps its pools in memory: else Airflow and the search API would have to start again whenever it does."""
    pool = cognito.ensure(aws_url)
    client = cognito._client(aws_url)
    client.delete_user_pool(UserPoolId=pool.id)
    assert cognito.ensure(aws_url) == pool


def test_docker_compose_names_this_pool(aws_url: str) -> None:
    """Its ids are of what the pool is made with: after a change of that, no token would be accepted there."""
    pool, api, airflow = cognito.ensure(aws_url), SERVICES["search-api"], SERVICES["airflow-worker"]
    told = api["environment"]
    assert (told["SEARCH_API_ISSUER"], told["SEARCH_API_AUDIENCE"]) == (pool.issuer, pool.client_id)
    assert told["SEARCH_API_JWKS_URL"] == pool.jwks_url.replace(aws_url, "http://moto:5000")
    connection = json.loads(airflow["environment"]["AIRFLOW_CONN_SEARCH_API"])
    assert connection["extra"] == {"client_id": pool.client_id}
    assert connection["password"] == cognito.PASSWORD
    tenant, role = search_api.WARMER
    assert connection["login"] == cognito.name_of(tenant=tenant, role=role)
