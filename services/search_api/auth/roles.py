"""What each role may see, and how often it may ask. The whole table stands here, and nobody else looks at a role."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from search_api.caller import Role


@dataclass(frozen=True)
class Rights:
    """What a role gives.

    :ivar every_tenant: whether its bearer sees the documents of all tenants; else of the token's tenant alone
    :ivar warms: whether it may have an index warmed that is about to be live
    :ivar factor: how many times the limit of a tenant it may ask
    :ivar by_machine: whether its requests are counted for themselves, and not by address
    """

    every_tenant: bool
    warms: bool = False
    factor: int = 1
    by_machine: bool = False


RIGHTS: Final[Mapping[Role, Rights]] = {
    Role.ADMIN: Rights(every_tenant=True, warms=True),
    Role.TENANT_ADMIN: Rights(every_tenant=False),
    Role.TENANT_USER: Rights(every_tenant=False),
    Role.SERVICE: Rights(every_tenant=False, warms=True, factor=10, by_machine=True),
}
"""A role is a group of the user pool, of the same name. Everyone in it may search; here nobody may write.

A service account asks from one address, and as often as it can: it leaves the people of its tenant their own limit.
"""


def role_of(groups: object) -> Role | None:
    """Return the one role among the groups of a token; None when there is none, or more than one."""
    if not isinstance(groups, list):
        return None
    found = [role for role in Role if role.value in groups]
    return found[0] if len(found) == 1 else None
