"""The environment that is looked at: how it is reached, and what its files say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from searchsync.aws import errors
from searchsync.catalog import CATALOG, DEFAULT_CONNECTION, Entity, include_dir
from searchsync.connections import Connections
from searchsync.errors import BadParams, SearchSyncError
from searchsync.preflight.scheduler import Scheduler


@dataclass(frozen=True)
class Target:
    """An environment.

    :ivar environment: the column of ``infra/environments.yaml``
    :ivar scheduler: the Airflow of the environment; None when it cannot be seen from here
    """

    connections: Connections = field(repr=False)
    environment: str
    entities: Mapping[str, Entity] = field(default_factory=lambda: CATALOG)
    scheduler: Scheduler | None = field(default=None, repr=False)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, source: str) -> list[Entity]:
        """Return the entities that come from a kind of source."""
        return [entity for _, entity in sorted(self.entities.items()) if entity.source == source]

    def aws(self, service: str, entity: Entity | None = None) -> Any:
        """Return a client of a service, with the connection of an entity or the default one."""
        key = (entity.connection if entity else DEFAULT_CONNECTION["dynamodb"], service)
        if key not in self._clients:  # to make one takes longer than to ask it
            self._clients[key] = self.connections.aws(*key)
        return self._clients[key]

    @cached_property
    def account(self) -> str:
        """The account of the environment.

        :raises BadConnection: when the caller is nobody there
        """
        with errors("STS", SearchSyncError):
            return str(self.aws("sts").get_caller_identity()["Account"])

    @cached_property
    def region(self) -> str:
        """The region of the environment."""
        return str(self.aws("sts").meta.region_name)

    @cached_property
    def values(self) -> dict[str, Any]:
        """What differs between the environments: the column of this one.

        :raises BadParams: when there is no such environment
        """
        rows = yaml.safe_load(_read(_checkout() / "infra" / "environments.yaml"))
        known = sorted({name for row in rows.values() for name in row})
        if self.environment not in known:
            raise BadParams(
                f"there is no environment {self.environment!r}: infra/environments.yaml has {', '.join(known)}. "
                "Nothing was looked at"
            )
        return {name: row[self.environment] for name, row in rows.items()}

    @cached_property
    def stream_settings(self) -> dict[str, Any]:
        """What queues, function and event source mapping are to be like."""
        settings: dict[str, Any] = json.loads(_read(_checkout() / "lambdas" / "stream" / "settings.json"))
        return settings


def _checkout() -> Path:
    return include_dir().parent


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadParams(
            f"cannot read {path}: {error.strerror}. Nothing was looked at. Run it in a checkout of the repository"
        ) from error
