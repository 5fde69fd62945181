"""The user pool of the search API: that its tokens carry a tenant, and that nobody can choose it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from searchsync.alarms import PREFIX
from searchsync.preflight.checks import Check, Finding, NotAsItShould, differences
from searchsync.preflight.tables import APPLY
from searchsync.preflight.target import Target

TENANT = "custom:tenant_id"
ROLES = ("admin", "service", "tenant_admin", "tenant_user")
"""Groups of the pool; the search API says what each may do."""


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of the pool, its groups and its clients."""
    client = target.aws("cognito-idp")
    yield Check(
        "user pool", PREFIX, "tokens would have no tenant, or one that somebody chose", APPLY, partial(_pool, client)
    )
    yield Check("user pool's groups", PREFIX, "who has no role may see nothing", APPLY, partial(_groups, client))
    yield Check(
        "user pool's clients",
        PREFIX,
        "who may write the tenant of a user can read the documents of others",
        APPLY,
        partial(_clients, client),
    )


def _pool_id(client: Any) -> str:
    pages = client.get_paginator("list_user_pools").paginate(MaxResults=60)
    found = [pool["Id"] for page in pages for pool in page["UserPools"] if pool["Name"] == PREFIX]
    if len(found) != 1:
        raise NotAsItShould(f"{len(found)} user pools are named {PREFIX}, instead of one")
    return str(found[0])


def _pool(client: Any) -> Finding:
    pool = client.describe_user_pool(UserPoolId=_pool_id(client))["UserPool"]
    tenants = [one for one in pool["SchemaAttributes"] if one["Name"] == TENANT]
    trigger = pool.get("LambdaConfig", {}).get("PreTokenGenerationConfig", {})
    has = {
        "has a tenant": len(tenants) == 1,
        "tenant can be changed": any(one.get("Mutable", True) for one in tenants),
        "version of the trigger that adds the tenant": trigger.get("LambdaVersion"),
        "made by administrators alone": pool.get("AdminCreateUserConfig", {}).get("AllowAdminCreateUserOnly"),
    }
    wanted = {
        "has a tenant": True,
        "tenant can be changed": False,
        "version of the trigger that adds the tenant": "V2_0",
        "made by administrators alone": True,
    }
    return Finding(pool["Id"], differences(wanted, has))


def _groups(client: Any) -> Finding:
    pages = client.get_paginator("list_groups").paginate(UserPoolId=_pool_id(client))
    found = {group["GroupName"] for page in pages for group in page["Groups"]}
    missing, more = sorted({*ROLES} - found), sorted(found - {*ROLES})
    problems = [f"there is no group {name}" for name in missing]
    return Finding(", ".join(ROLES), problems + [f"the group {name} is no role" for name in more])


def _clients(client: Any) -> Finding:
    pool = _pool_id(client)
    pages = client.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool, MaxResults=60)
    names = {one["ClientName"]: one["ClientId"] for page in pages for one in page["UserPoolClients"]}
    if not names:
        raise NotAsItShould("there is none")
    problems = []
    for name, number in sorted(names.items()):
        found = client.describe_user_pool_client(UserPoolId=pool, ClientId=number)["UserPoolClient"]
        writes = found.get("WriteAttributes")
        if not writes or TENANT in writes:  # without a list, a client may write everything
            problems.append(f"{name} may write {TENANT}")
    return Finding(", ".join(sorted(names)), problems)
