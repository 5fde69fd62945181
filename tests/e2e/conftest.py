"""A whole stack of its own: Airflow with its scheduler and executor, so that processes can be killed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from benchmarks._kills_world import retry_at_once
from local import postgres, runs, sample_data
from local.paths import ROOT, Home
from local.stack import Stack

ROWS = 8_000


@pytest.fixture(scope="module")
def stack(servers_dir: Path) -> Iterator[Stack]:
    home = Home(servers_dir / "stack", ROOT / "dags")
    retry_at_once(home)
    stack = Stack(home, print)
    began = datetime.now(UTC)
    stack.up()
    try:
        with psycopg.connect(stack.server("postgres").dsn(postgres.OWNER, "app"), autocommit=True) as owner:
            sample_data.generate(owner, ROWS)
        api = stack.api()
        runs.await_dag(api, "locations_reindex", parsed_since=began)
        yield stack
    finally:
        stack.down(wipe=True)
