"""The search API of the local stack: what it is told, what Airflow is told of it, and whether it answers."""

import hashlib
import http.client
import json
import sys
from collections.abc import Mapping

from local import airflow, cognito, ports
from local.cognito import UserPool
from local.files import secret
from local.paths import ROOT, Home
from searchsync.catalog import CATALOG, include_dir

PART = "search-api"
STAND_IN = "bedrock-stand-in"
"""The part that plays Bedrock for its agent."""

SERVICES = ROOT / "services"
WARMER = ("search-ops", "service")
"""Tenant and role of the user as whom a reindex asks for a warm cache. No document is of this tenant."""


def user_pool(endpoint: str) -> UserPool:
    """The pool whose tokens it takes, with the users that a reindex and the page need."""
    pool = cognito.ensure(endpoint)
    for tenant, role in (WARMER, *_searchers()):
        cognito.ensure_user(pool, tenant=tenant, role=role)
    return pool


def _searchers() -> list[tuple[str, str]]:
    """Tenants and roles of the users as whom the page can search."""
    tenants: tuple[str, ...] = ()
    if "members" in CATALOG:  # whoever gives the sample up deletes its file
        from local.members import TENANTS

        tenants = TENANTS
    return [*((tenant, "tenant_user") for tenant in tenants), (WARMER[0], "admin")]


def command() -> list[str]:
    return [sys.executable, "-m", "search_api"]


def environment(home: Home, port: Mapping[str, int], pool: UserPool) -> dict[str, str]:
    """The whole environment of its process.

    :param port: of each part, by its name
    """
    return airflow.environment(
        {
            "PYTHONPATH": str(SERVICES),
            "SEARCHSYNC_OPENSEARCH_URL": airflow.url(port["opensearch"]),
            "SEARCH_API_ENVIRONMENT": "development",
            "SEARCH_API_HOST": ports.LOOPBACK,
            "SEARCH_API_PORT": str(port[PART]),
            "SEARCH_API_REDIS_URL": f"redis://{ports.LOOPBACK}:{port['redis']}/0",
            "SEARCH_API_ISSUER": pool.issuer,
            "SEARCH_API_AUDIENCE": pool.client_id,
            "SEARCH_API_JWKS_URL": pool.jwks_url,
            "SEARCH_API_COGNITO_URL": pool.endpoint,
            "SEARCH_API_CURSOR_KEYS": _cursor_key(home),
            "SEARCH_API_AGENT_MODEL": "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            "SEARCH_API_AGENT_GUARDRAIL": "standin:1",
            "SEARCH_API_AGENT_URL": airflow.url(port[STAND_IN]),
        }
    )


def fingerprint(env: Mapping[str, str]) -> str:
    """Changes when what it reads at its start does."""
    files = [*(SERVICES / "search_api" / "page").iterdir(), *include_dir().glob("entities/*")]
    return airflow.fingerprint(env, "services", "src", files=[*files, *include_dir().glob("mappings/*")])


def connection(port: int, pool: UserPool) -> dict[str, str]:
    """The connection by which Airflow asks for a warm cache."""
    tenant, role = WARMER
    described = {
        "conn_type": "http",
        "schema": "http",
        "host": ports.LOOPBACK,
        "port": port,
        "login": cognito.name_of(tenant=tenant, role=role),
        "password": cognito.PASSWORD,
        "extra": {"client_id": pool.client_id},
    }
    return {"AIRFLOW_CONN_SEARCH_API": json.dumps(described)}


def answers(port: int) -> bool:
    """Whether it is alive, whatever it lacks."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _cursor_key(home: Home) -> str:
    return hashlib.sha256(secret(home.secrets, "search_api_cursors", length=32).encode()).hexdigest()
