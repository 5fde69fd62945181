"""A sample of the kill matrix, chosen by a seed (`./dev bench kills` runs all): each run ends exactly.

On a stack beside that of the other tests, so that both go on at once.
"""

import random
from datetime import UTC, datetime

import pytest

from benchmarks import _kills
from benchmarks._kills import CASES, Case
from benchmarks._kills_world import World
from local import runs
from local.stack import Stack

SEED = 20261131


def sample(seed: int) -> list[Case]:
    """Of the tasks of locations: members take minutes, and what is killed with a server is killed elsewhere."""
    tasks = [case for case in CASES if case.victim == _kills.TASK and not case.dag.startswith("members")]
    return random.Random(seed).sample(tasks, 6)


@pytest.fixture(scope="module")
def world(stack: Stack) -> World:
    for dag in {case.dag for case in sample(SEED)}:
        runs.await_dag(stack.api(), dag, parsed_since=datetime.min.replace(tzinfo=UTC))
    return World(stack)


@pytest.mark.parametrize("case", sample(SEED), ids=lambda case: f"{case.name}, seed {SEED}")
def test_what_is_killed_in_the_middle_ends_exactly(world: World, case: Case) -> None:
    row = _kills.run(world, case, SEED)
    assert row.good, row.cells()
