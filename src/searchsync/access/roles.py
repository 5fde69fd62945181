"""The roles of AWS and their policies, rendered from ``include/policies/roles.yaml`` as Terraform renders them.

Terraform makes the roles (``infra/modules/identity``). What is rendered here is what checks and tests compare with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from string import Template
from typing import Any, Final

import yaml

from searchsync.catalog import Entity, include_dir

VERSION: Final = "2012-10-17"
"""Of the language of policies."""

PRINCIPALS: Final = {"service": "Service", "federated": "Federated"}


_NONE: Final = {"entity": "no-entity", "table": "no-table", "heartbeat": "no-heartbeat"}
"""What stands for the words of an entity where there is none."""


@dataclass(frozen=True)
class Place:
    """Where roles are, and who may deploy there.

    :ivar replica_region: where copies of buckets go
    :ivar repository: ``owner/name`` of the repository whose workflows may deploy
    :ivar environment: dev, staging or production
    """

    account: str
    region: str
    replica_region: str
    repository: str
    environment: str
    partition: str = "aws"


@dataclass(frozen=True)
class Grant:
    """Calls on some resources.

    :ivar calls: actions, each ``service:Action``
    :ivar resources: ARNs
    :ivar when: the condition, as a policy has it
    :ivar where: file whose code makes the calls; empty when none of ours does
    :ivar by: who makes them instead
    :ivar why: what the calls are for
    :ivar unlimited: why calls that could be limited to a resource are not
    """

    calls: tuple[str, ...]
    resources: tuple[str, ...]
    when: Mapping[str, Any]
    where: str
    by: str
    why: str
    unlimited: str
    deny: bool

    def statement(self) -> dict[str, Any]:
        """Return the statement of a policy."""
        statement = {
            "Effect": "Deny" if self.deny else "Allow",
            "Action": list(self.calls),
            "Resource": list(self.resources),
        }
        return {**statement, "Condition": dict(self.when)} if self.when else statement


@dataclass(frozen=True)
class Role:
    """A role and what it may do.

    :ivar part: its name in the file: one part may have a role for each entity
    :ivar trust: the document that says who may take the role
    """

    name: str
    part: str
    does: str
    trust: Mapping[str, Any]
    grants: tuple[Grant, ...]

    @property
    def policy(self) -> dict[str, Any]:
        """Return the document that says what the role may do."""
        return {"Version": VERSION, "Statement": [grant.statement() for grant in self.grants]}


def rendered(place: Place, entities: Iterable[Entity]) -> dict[str, Role]:
    """Return the roles by name."""
    tables = {entity.name: entity for entity in entities if entity.source == "dynamodb"}
    among = {
        "dynamodb": sorted(tables),
        "exported": sorted(name for name, entity in tables.items() if entity.read_from == "export"),
        "heartbeat": sorted(name for name, entity in tables.items() if entity.heartbeat),
    }
    words = {
        name: {"entity": name, "table": entity.table, "heartbeat": entity.heartbeat_key or _NONE["heartbeat"]}
        for name, entity in tables.items()
    }
    read = {name: _read(place, own) for name, own in {**words, "": _NONE}.items()}
    roles = {}
    for part, said in read[""].items():
        for entity in among[said["for_each"]] if "for_each" in said else [""]:
            name = f"searchsync-{part}-{entity}" if entity else f"searchsync-{part}"
            own = read[entity][part]
            grants = [
                _grant([read[one][part]["grants"][number] for one in some])
                for number, grant in enumerate(own["grants"])
                for some in _groups(among.get(grant.get("for_each"), [entity]), apart=grant.get("apart", False))
            ]
            roles[name] = Role(name, part, own["does"], _trust(own["trust"]), tuple(grants))
    return roles


def _read(place: Place, words: Mapping[str, str]) -> dict[str, Any]:
    """Return the roles of the file, with the words of a place and of an entity in it."""
    text = (include_dir() / "policies" / "roles.yaml").read_text(encoding="utf-8")
    here = asdict(place)
    arns = {name: Template(arn).substitute(here) for name, arn in yaml.safe_load(text)["places"].items()}
    found: dict[str, Any] = yaml.safe_load(Template(text).substitute({**here, **arns, **words}))["roles"]
    return found


def _groups(entities: list[str], *, apart: bool) -> list[list[str]]:
    """Return the entities of each statement: all of them together, or each apart; nothing when there are none."""
    return [[name] for name in entities] if apart else [entities] * bool(entities)


def _grant(same: Sequence[Mapping[str, Any]]) -> Grant:
    """Return one grant of what the file says of it for some entities."""
    said = same[0]
    return Grant(
        calls=tuple(said["calls"]),
        resources=tuple(dict.fromkeys(arn for one in same for arn in one["resources"])),
        when=said.get("when", {}),
        where=said.get("where", ""),
        by=said.get("by", ""),
        why=said.get("why", ""),
        unlimited=said.get("unlimited", ""),
        deny=said.get("deny", False),
    )


def _trust(said: Mapping[str, Any]) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity" if "federated" in said else "sts:AssumeRole",
        "Principal": {name: said[kind] for kind, name in PRINCIPALS.items() if kind in said},
    }
    return {"Version": VERSION, "Statement": [{**statement, **({"Condition": said["when"]} if "when" in said else {})}]}
