"""Airflow's own health: who may have stopped is asked from outside, and what it says is compared with the clock."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from searchsync.catalog import CATALOG
from searchsync.errors import BadConnection, SearchSyncError
from searchsync.health.reading import Look, Reading

SERVER = "Airflow"
ANSWER_SECONDS = 10.0
PARTS = ("scheduler", "dag_processor", "triggerer")
"""Of Airflow, as its report of health names them."""

NEVER_SECONDS = 86_400.0
"""The age of a heartbeat that there never was."""


class AirflowUnavailable(SearchSyncError):
    """Airflow's API does not answer."""


@dataclass(frozen=True)
class Api:
    """Airflow's REST API.

    :ivar url: without the slash at its end
    :ivar user: login of a user who may look at pools and import errors; empty when there is none
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)

    def health(self) -> Mapping[str, Any]:
        """Return the report of health, which needs no login."""
        return self._ask("/api/v2/monitor/health")

    def import_errors(self) -> Sequence[Mapping[str, Any]]:
        """Return the files that cannot be read."""
        found: Sequence[Mapping[str, Any]] = self._ask("/api/v2/importErrors", self._token())["import_errors"]
        return found

    def pools(self) -> Sequence[Mapping[str, Any]]:
        """Return the pools, with their slots."""
        found: Sequence[Mapping[str, Any]] = self._ask("/api/v2/pools", self._token())["pools"]
        return found

    def _token(self) -> str:
        body = {"username": self.user, "password": self.password}
        return str(self._ask("/auth/token", body=body)["access_token"])

    def _ask(self, path: str, token: str = "", body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers)  # noqa: S310 - the address is configured
        try:
            with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
                found: Mapping[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise BadConnection(f"Airflow refuses the login to {path} ({error.code})") from None
            raise AirflowUnavailable(f"Airflow answered {error.code} to {path}") from None
        except (OSError, ValueError) as error:
            raise AirflowUnavailable(f"Airflow does not answer at {self.url}{path}: {error}") from error
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


@dataclass(frozen=True)
class DagSeen:
    """What Airflow knows of a DAG's scheduled runs.

    :ivar paused: nothing is due then
    :ivar succeeded: when the last run that succeeded was due; None when none did
    :ivar first: when the oldest run since then was due; None when there is none
    :ivar interval: between two runs; None when that is not known
    :ivar failed: when runs since then failed
    """

    paused: bool
    succeeded: datetime | None = None
    first: datetime | None = None
    interval: timedelta | None = None
    failed: Sequence[datetime] = ()


def looks(api: Api, dags: Mapping[str, DagSeen | str]) -> Iterator[Look]:
    """Yield the looks at Airflow.

    :param dags: by id: what Airflow knows of a DAG that has a schedule, or why it did not say
    """
    for part in PARTS:
        yield Look(("airflow-part-silent",), SERVER, partial(_part, api, part), part)
    if api.user:
        yield Look(("airflow-import-errors",), SERVER, lambda: _import_errors(api))
        yield Look(("airflow-pool-starving",), SERVER, lambda: _pools(api))
    for dag_id, dag in dags.items():
        yield Look(("dag-late",), SERVER, partial(_late, dag_id, dag), dag_id, _entity_of(dag_id))


def _part(api: Api, part: str) -> Iterator[Reading]:
    said = (api.health().get(part) or {}).get(f"latest_{part}_heartbeat")
    age = (datetime.now(UTC) - datetime.fromisoformat(said)).total_seconds() if said else NEVER_SECONDS
    seen = f"its last heartbeat was {age:.0f} s ago" if said else "it has never had a heartbeat"
    yield Reading("airflow-part-silent", part, round(age, 1), seen)


def _import_errors(api: Api) -> Iterator[Reading]:
    errors = api.import_errors()
    said = "; ".join(f"{one['filename']}: {str(one['stack_trace']).strip().splitlines()[-1]}" for one in errors[:3])
    yield Reading("airflow-import-errors", "", len(errors), said or "every file can be read")


def _pools(api: Api) -> Iterator[Reading]:
    for pool in api.pools():
        waiting = pool["scheduled_slots"] if pool["open_slots"] <= 0 else 0
        seen = f"{waiting} tasks wait, {pool['occupied_slots']} of {pool['slots']} slots are taken"
        yield Reading("airflow-pool-starving", str(pool["name"]), waiting, seen)


def _late(dag_id: str, dag: DagSeen | str) -> Iterator[Reading]:
    if isinstance(dag, str):
        raise AirflowUnavailable(dag)
    yield replace(lateness(dag_id, dag, datetime.now(UTC)), entity=_entity_of(dag_id))


def _entity_of(dag_id: str) -> str:
    """Return the entity whose DAG it is; empty for one of all entities."""
    return max((name for name in CATALOG if dag_id.startswith(f"{name}_")), key=len, default="")


def lateness(dag_id: str, dag: DagSeen, now: datetime) -> Reading:
    """Return how long a DAG is behind the moment at which it should have succeeded again: when the next run was due.

    A run that a person triggers does not count, because Airflow does not say for which moment it stands in: after one
    that succeeded, clear the run that failed, or wait for the next.
    """
    since = dag.succeeded or (dag.first - dag.interval if dag.first and dag.interval else None)
    if dag.paused or since is None or not dag.interval:
        why = "it is paused" if dag.paused else "it has had no scheduled run yet"
        return Reading("dag-late", dag_id, 0, why)
    late = (now - since - 2 * dag.interval).total_seconds()
    seen = f"its last scheduled run that succeeded was due at {since:%Y-%m-%d %H:%M} UTC"
    if dag.succeeded is None:
        seen = f"no scheduled run has succeeded since {since:%Y-%m-%d %H:%M} UTC"
    return Reading("dag-late", dag_id, max(0.0, round(late)), f"{seen}; one is due every {dag.interval}")
