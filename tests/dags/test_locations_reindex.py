"""The whole DAG, run for real."""
from typing import Any

import pytest

from searchsync import indexes

pytestmark = pytest.mark.usefixtures("connections")


def test_success(dagbag: Any, client: Any, rows: int, locations: Any) -> None:
    run = dagbag.dags["locations_reindex"].test(logical_date=None)
    assert run.state == "success"
    live = indexes.live(client, locations)
    assert live
