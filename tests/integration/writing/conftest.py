"""An index to write to, and a writer that does not wait for long."""

import opensearchpy
import pytest

from searchsync.catalog import Entity
from searchsync.cluster.client import Backoff
from searchsync.writing import bulk, writer
from tests.steps import make_index


@pytest.fixture
def green(client: opensearchpy.OpenSearch, locations: Entity) -> str:
    """An index in the write set."""
    return make_index(client, locations)


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same back-off, a hundredth of the pauses."""
    for module in (writer, bulk):
        monkeypatch.setattr(module, "Backoff", lambda patience: Backoff(patience, first=0.005, longest=0.05))
