"""The search API's containers: the one service that strangers talk to, and its cache."""

import os
import re

import pytest

from local import redis as local_redis
from search_api.settings import Settings
from tests.unit.test_compose import REQUIRED, SERVICES, VARIABLE, resolved, stages, strings


def test_the_search_api_starts_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses a setting that it does not know: a renamed one would end the container as soon as it starts."""
    monkeypatch.setattr(os, "environ", image_environment("search-api") | service_environment("search-api"))
    settings = Settings.from_environment()
    assert settings.in_development
    assert (settings.host, settings.port) == ("0.0.0.0", 8080), "as the port of the file and its health check have it"
    assert SERVICES["search-api"]["ports"] == ["127.0.0.1:${SEARCH_PORT:-8091}:8080"]


def image_environment(stage: str) -> dict[str, str]:
    """The variables that a stage of the Dockerfile sets."""
    (line,) = [line for line in stages()[stage] if line.startswith("ENV ")]
    return dict(re.findall(r"(\w+)=(\S+)", line))


def service_environment(name: str) -> dict[str, str]:
    """The variables of a service, with a random key for each that `.env` has."""
    given: dict[str, str] = SERVICES[name]["environment"]
    return {key: os.urandom(32).hex() if REQUIRED.fullmatch(text) else resolved(text) for key, text in given.items()}


def test_who_breaks_into_the_search_api_finds_nothing_to_write_to() -> None:
    """It is the one service that strangers talk to."""
    service = SERVICES["search-api"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert "volumes" not in service
    assert not {"LOCAL_AWS_KEY", "POSTGRES_PASSWORD"} & {
        match[1] for text in strings(service) for match in VARIABLE.finditer(text)
    }


def test_the_cache_evicts_and_the_queue_does_not() -> None:
    """Of Celery's queue nothing may go; a cache that is full and evicts nothing would keep no new answer."""
    policies = {name: service["command"][-1] for name, service in SERVICES.items() if "redis" in service["image"]}
    assert policies == {"redis": "noeviction", "search-cache": local_redis._SETTINGS["maxmemory-policy"]}
