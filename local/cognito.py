"""The user pool of the local stack, in the emulator of Cognito: a group for each role, and users as they are asked for.

The emulator signs with a key that everybody has, and lets everybody make users. So its users need no secret password.
"""

import os
import sys
from dataclasses import dataclass
from typing import Any

from local import tables
from local.airflow import REGION

ROLES = ("admin", "tenant_admin", "tenant_user", "service")
TENANT = "tenant_id"
PASSWORD = "Development-1"

_POOL = "search"
# As in production: set when the user is made, and by nobody afterwards.
_SCHEMA = [{"Name": TENANT, "AttributeDataType": "String", "Mutable": False}]


@dataclass(frozen=True, slots=True)
class UserPool:
    """A user pool, and the one application that gets its tokens."""

    endpoint: str
    id: str
    client_id: str

    @property
    def issuer(self) -> str:
        """What its tokens say: the emulator uses the name that the pool would have on AWS."""
        return f"https://cognito-idp.{REGION}.amazonaws.com/{self.id}"

    @property
    def jwks_url(self) -> str:
        return f"{self.endpoint}/{self.id}/.well-known/jwks.json"


def ensure(endpoint: str) -> UserPool:
    """The pool, made when missing. It has the same ids in each emulator, which forgets it when it ends."""
    cognito = _client(endpoint)
    pools = cognito.list_user_pools(MaxResults=60)["UserPools"]
    pool = next((found["Id"] for found in pools if found["Name"] == _POOL), None)
    if pool is None:
        pool = cognito.create_user_pool(PoolName=_POOL, Schema=_SCHEMA)["UserPool"]["Id"]
        for role in ROLES:
            cognito.create_group(UserPoolId=pool, GroupName=role)
    clients = cognito.list_user_pool_clients(UserPoolId=pool, MaxResults=60)["UserPoolClients"]
    if not clients:
        reading = {"ReadAttributes": [f"custom:{TENANT}"], "WriteAttributes": ["email"]}
        flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
        made = cognito.create_user_pool_client(UserPoolId=pool, ClientName=_POOL, ExplicitAuthFlows=flows, **reading)
        clients = [made["UserPoolClient"]]
    return UserPool(endpoint, pool, clients[0]["ClientId"])


def name_of(*, tenant: str, role: str) -> str:
    """The name of the user of a tenant with a role."""
    return f"{role}@{tenant}"


def ensure_user(pool: UserPool, *, tenant: str, role: str) -> None:
    """Make the user of a tenant with a role, unless it is there. Its password is PASSWORD."""
    cognito, name = _client(pool.endpoint), name_of(tenant=tenant, role=role)
    try:
        cognito.admin_create_user(
            UserPoolId=pool.id, Username=name, UserAttributes=[{"Name": f"custom:{TENANT}", "Value": tenant}]
        )
    except cognito.exceptions.UsernameExistsException:
        return
    cognito.admin_set_user_password(UserPoolId=pool.id, Username=name, Password=PASSWORD, Permanent=True)
    cognito.admin_add_user_to_group(UserPoolId=pool.id, Username=name, GroupName=role)


def token(pool: UserPool, *, tenant: str, role: str) -> str:
    """An ID token, good for an hour."""
    ensure_user(pool, tenant=tenant, role=role)
    login = {"USERNAME": name_of(tenant=tenant, role=role), "PASSWORD": PASSWORD}
    answer = _client(pool.endpoint).initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH", ClientId=pool.client_id, AuthParameters=login
    )
    return str(answer["AuthenticationResult"]["IdToken"])


def _main(tenant: str, role: str = "tenant_user") -> None:
    print(token(ensure(os.environ["AWS_ENDPOINT_URL"]), tenant=tenant, role=role))


def _client(endpoint: str) -> Any:
    return tables.client("cognito-idp", endpoint)


if __name__ == "__main__":
    _main(*sys.argv[1:])
