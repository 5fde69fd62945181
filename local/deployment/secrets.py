"""Secrets that have no value yet: those that nobody has to choose are made here, the others are asked for.

Terraform makes the places alone: its state would keep the values.
"""

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from local.errors import LocalError

_PREFIX: Final = "searchsync/"


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _viewer() -> str:
    """Airflow's connection airflow_api; its password is that of the login ``viewer``."""
    return json.dumps({"conn_type": "http", "login": "viewer", "password": secrets.token_urlsafe(32)})


MADE: Final[dict[str, Callable[[], str]]] = {
    "airflow-api-secret-key": lambda: secrets.token_urlsafe(48),
    "airflow-database": lambda: secrets.token_urlsafe(32),
    "airflow-fernet-key": _fernet_key,
    "airflow-login": lambda: secrets.token_urlsafe(32),
    "airflow-viewer": _viewer,
    "airflow-jwt-secret": lambda: secrets.token_urlsafe(64),
    "search-api-cursor-keys": lambda: secrets.token_hex(32),
}
"""How each secret is made that nobody has to choose, by its name."""

GIVEN: Final = {
    "search-api-warmer": "Airflow's connection search_api as JSON, as docker-compose.yaml shows it",
    "slack-webhook": "Airflow's connection searchsync_slack as JSON, as docker-compose.yaml shows it",
}
"""What each secret is that a person gives, by its name."""


def fill(manager: Any, say: Callable[[str], None]) -> None:
    """Give each secret without a value one.

    :raises LocalError: when a person has to give one, with the commands
    """
    for name in _without_value(manager, MADE):
        manager.put_secret_value(SecretId=f"{_PREFIX}{name}", SecretString=MADE[name]())
        say(f"secret {name}: made")
    if asked := _without_value(manager, GIVEN):
        put = "aws secretsmanager put-secret-value --secret-string file://FILE --secret-id"
        told = "; ".join(f"{put} {_PREFIX}{name} ({GIVEN[name]})" for name in asked)
        raise LocalError(
            f"these secrets have no value, and services that need them cannot start: {', '.join(asked)}. Give them, "
            f"and deploy again: {told}"
        )


def _without_value(manager: Any, names: Iterable[str]) -> list[str]:
    """Those of some secrets that are there, and have no value."""
    empty = []
    for name in names:
        try:
            found = manager.describe_secret(SecretId=f"{_PREFIX}{name}").get("VersionIdsToStages")
        except manager.exceptions.ResourceNotFoundException:
            continue
        if not found:
            empty.append(name)
    return empty
