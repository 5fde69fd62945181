"""Who asks, and whose documents they may see: the only source of a tenant in this service is a verified token."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do; ``auth.roles`` has the table."""

    ADMIN = "admin"
    TENANT_ADMIN = "tenant_admin"
    TENANT_USER = "tenant_user"
    SERVICE = "service"


@dataclass(frozen=True)
class OneTenant:
    """The documents of one tenant, and those that all tenants share."""

    id: str


@dataclass(frozen=True)
class EveryTenant:
    """The documents of all tenants: for administrators alone."""


Scope = OneTenant | EveryTenant
"""Whose documents a query may find. Without one, no query can be made (``query.build``)."""


@dataclass(frozen=True)
class Caller:
    """Who asks, as their token says it.

    :ivar subject: the token's ``sub``; it names a person only to the identity provider
    :ivar role: what they may do
    :ivar scope: whose documents they may see
    """

    subject: str
    role: Role
    scope: Scope

    @property
    def tenant(self) -> str:
        """Name for limits, cache keys and logs: the tenant's id; ``*`` for an administrator of all."""
        return self.scope.id if isinstance(self.scope, OneTenant) else "*"
