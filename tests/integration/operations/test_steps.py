"""The order of a reindex is stated once. A step out of its turn would serve an index that lacks changes (rule 6)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import sample_data
from searchsync.cluster.client import Client
from searchsync.operations import gate, reindex
from searchsync.operations.reindex import STEPS, Reindex
from searchsync.sources import export_requests
from tests.exports import Bucket
from tests.members import World
from tests.steps import Connect, rebuild


def test_the_command_line_takes_the_steps_in_their_order(
    client: Client,
    connect_source: Connect,
    owner: psycopg.Connection[Any],
    reports: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample_data.generate(owner, 50)
    taken = steps_taken(monkeypatch)
    rebuild(client, connect_source, reports, run_id="run")
    assert tuple(taken) == tuple(name for name in STEPS if name != "export")


def test_an_export_is_taken_after_the_joining_and_before_the_load(
    world: World, at_once: None, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (reindex, export_requests):
        monkeypatch.setattr(module, "INEXACT_SECONDS", 0)
    world.put("m-1", name="x")
    bucket = Bucket(world)
    taken = steps_taken(monkeypatch)
    rebuild(world.client, lambda plan: bucket.source(plan=plan), reports, run_id="run")
    assert tuple(taken) == STEPS


def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list of the steps that are taken from now on."""
    taken: list[str] = []

    def noted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            taken.append(name)
            return step(*arguments, **options)

        return call

    homes: dict[str, Any] = {"check": reindex, "create_green": reindex, "gate": gate}
    for name in STEPS:
        home = homes.get(name, Reindex)
        monkeypatch.setattr(home, name, noted(name, getattr(home, name)))
    return taken
