"""What the emulated user pool hands out is what the service takes: else a newcomer could not search at all."""

import base64
import json
from typing import Any

from local import cognito
from search_api.caller import Role


def claims(token: str) -> dict[str, Any]:
    """What a token says; nobody verifies it here."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_roles_are_those_of_the_service() -> None:
    assert set(cognito.ROLES) == set(Role)


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
