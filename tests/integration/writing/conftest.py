"""An index to write to, and a writer that does not wait for long."""

from functools import partial

import pytest

from searchsync.catalog import Entity
from searchsync.cluster.client import Backoff, Client
from searchsync.writing import bulk, writer
from tests.steps import make_index


@pytest.fixture
def green(client: Client, locations: Entity) -> str:
    """An index in the write set."""
    return make_index(client, locations)


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same back-off, a hundredth of the pauses."""
    for module in (writer, bulk):
        monkeypatch.setattr(module, "Backoff", partial(Backoff, first=0.005, longest=0.05))
