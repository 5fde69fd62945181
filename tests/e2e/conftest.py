"""A whole stack of its own: Airflow with its scheduler and executor, so that processes can be killed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks._kills_world import retry_at_once
from local import runs
from local.paths import ROOT, Home
from local.stack import Stack


@pytest.fixture(scope="module")
def stack(servers_dir: Path) -> Iterator[Stack]:
    home = Home(servers_dir / "stack", ROOT / "dags")
    retry_at_once(home)
    stack = Stack(home, print)
    began = datetime.now(UTC)
    stack.up()
    try:
        api = stack.api()
        runs.await_dag(api, "locations_reindex", parsed_since=began)
        yield stack
    finally:
        stack.down(wipe=True)
