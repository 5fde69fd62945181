"""The preflight, run against what is applied to the emulator.

Domain and database of the emulator are names without servers: the stack's OpenSearch and PostgreSQL stand for them.
"""

from functools import cache, partial

from local import airflow, postgres, servers, tables
from local.paths import Home
from local.stack import Stack
from searchsync.cluster.client import connect
from searchsync.connections import Connections
from searchsync.preflight import run
from searchsync.preflight.checks import Result
from searchsync.preflight.target import Target


def check(endpoint: str, home: Home, environment: str) -> list[Result]:
    """Run the preflight of an environment.

    :raises LocalError: when the stack does not run
    """
    stack = Stack(home, lambda _: None)
    stack.require("opensearch", "postgres")
    record = servers.running(home.part("opensearch"))
    search = airflow.url(record.port) if record else ""
    dsn = stack.server("postgres").dsn(postgres.READER, "app")
    return run.run(Target(connections(endpoint, search, dsn), environment))


def connections(endpoint: str, opensearch: str, dsn: str) -> Connections:
    """Return what reaches the emulator, and the servers that stand for its domain and its database."""
    clients = cache(partial(tables.client, endpoint=endpoint))
    return Connections(lambda: connect(opensearch), lambda _: (dsn, ""), lambda _, service: clients(service))
