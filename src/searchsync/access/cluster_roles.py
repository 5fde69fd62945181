"""The roles of OpenSearch, each for a role of AWS: which requests it may send, and to which indexes.

They are rendered from ``include/policies/opensearch_roles.yaml``. A permission is granted because a request needs it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from string import Template
from typing import Any, Final

import yaml

from searchsync.catalog import Entity, include_dir
from searchsync.cluster.client import Client
from searchsync.errors import RequestRejected

_API: Final = "/_plugins/_security/api"


@dataclass(frozen=True)
class Grant:
    """Requests to some indexes.

    :ivar indexes: names and patterns; empty when no request is about an index
    :ivar requests: as ``GET /{index}/_alias``
    """

    indexes: tuple[str, ...]
    requests: tuple[str, ...]


@dataclass(frozen=True)
class ClusterRole:
    """A role of OpenSearch. It has the name of the role of AWS that takes it.

    :ivar part: its name in the file: one part may have a role for each entity
    :ivar needs: permissions by request: those for the cluster, and those for indexes
    """

    name: str
    part: str
    does: str
    grants: tuple[Grant, ...]
    needs: dict[str, dict[str, list[str]]]

    def definition(self) -> dict[str, Any]:
        """Return the role as OpenSearch takes it."""
        return {
            "description": self.does,
            "cluster_permissions": self._permissions("cluster", self.grants),
            "index_permissions": [
                {
                    "index_patterns": list(grant.indexes),
                    "allowed_actions": self._permissions("index", [grant]),
                }
                for grant in self.grants
                if grant.indexes
            ],
        }

    def mapping(self, account: str) -> dict[str, Any]:
        """Return who takes the role, as OpenSearch takes it.

        :param account: of the role of AWS
        """
        return {"backend_roles": [f"arn:aws:iam::{account}:role/{self.name}"], "hosts": [], "users": []}

    def _permissions(self, kind: str, grants: Iterable[Grant]) -> list[str]:
        found = (one for grant in grants for request in grant.requests for one in self.needs[request].get(kind, ()))
        return sorted(set(found))


def rendered(entities: Iterable[Entity]) -> dict[str, ClusterRole]:
    """Return the roles by name."""
    text = (include_dir() / "policies" / "opensearch_roles.yaml").read_text(encoding="utf-8")
    file = yaml.safe_load(text)
    every = list(entities)
    among = {
        "": every,
        "dynamodb": [entity for entity in every if entity.source == "dynamodb"],
        "searched": [entity for entity in every if entity.search is not None],
    }
    roles = {}
    for part, said in file["roles"].items():
        for owner in among[said["for_each"]] if "for_each" in said else [None]:
            name = f"searchsync-{part}-{owner.name}" if owner else f"searchsync-{part}"
            grants = tuple(_grant(grant, [owner] if owner else among[grant.get("of", "")]) for grant in said["grants"])
            roles[name] = ClusterRole(name, part, said["does"], grants, file["requests"])
    return roles


def _grant(said: dict[str, Any], entities: list[Entity]) -> Grant:
    named = (Template(index).substitute(entity=entity.name) for entity in entities for index in said.get("indexes", ()))
    return Grant(tuple(dict.fromkeys(named)), tuple(said["requests"]))


def apply(client: Client, roles: Iterable[ClusterRole], account: str) -> Iterator[str]:
    """Make each role and say who takes it, where OpenSearch does not have it so already. Yield what was changed.

    Safe to repeat. A role that is not in the file any more stays, and nobody can take it once its role of AWS is gone.

    :param client: of the domain's master user
    """
    for role in roles:
        for kind, wanted in (("roles", role.definition()), ("rolesmapping", role.mapping(account))):
            found = _found(client, f"{_API}/{kind}/{role.name}").get(role.name, {})
            if not _has(found, wanted):
                client.request("PUT", f"{_API}/{kind}/{role.name}", body=wanted)
                yield f"{kind}/{role.name}"


def _found(client: Client, path: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.request("GET", path)
    except RequestRejected as error:
        if error.status == 404:
            return {}
        raise
    return found


def _has(found: Any, wanted: Any) -> bool:
    """Return whether OpenSearch has what is wanted; it adds what was left open."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_has(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_has, found, wanted))
    return bool(found == wanted)
