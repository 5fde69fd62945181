"""The rates of wrong verdicts, over deployments of versions whose fault is known; `./dev bench canary` is larger."""

import json

import pytest

from benchmarks import canary
from benchmarks.canary import FAULTS, GOOD, TWICE, World, shares
from searchsync.canary.judge import FAIL, INCONCLUSIVE, PASS
from searchsync.canary.policy import policy

SEED, RUNS = 20261130, 60


@pytest.fixture(scope="module")
def world() -> World:
    print(f"seed {SEED}")
    return World(policy(), SEED, requests=600)


def test_good_versions_pass_and_bad_ones_do_not(world: World) -> None:
    rules = policy()
    good = shares([world.deployed(rules.samples, GOOD) for _ in range(RUNS)])
    assert good[FAIL] <= rules.false_alarms, good
    assert good[PASS] >= 0.9, "a judge that lets nothing through is switched off"
    bad = shares([world.deployed(rules.samples, TWICE) for _ in range(RUNS)])
    assert bad[PASS] <= canary.MISSED_MOST, bad
    assert bad[FAIL] >= 0.6, bad


def test_bursts_and_slowness_do_not_pass(world: World) -> None:
    for fault in FAULTS[5:7] + FAULTS[8:]:
        found = shares([world.deployed(world.policy.samples, fault) for _ in range(20)])
        assert found[PASS] == 0, fault.name


def test_more_samples_decide_more(world: World) -> None:
    """What is open after few minutes is worth a longer look, and not a lower bar."""
    stage = world.policy.stage(10)
    few, many = (
        shares([world.judged(stage, samples, TWICE).verdict for _ in range(30)])[INCONCLUSIVE]
        for samples in (world.policy.samples, 3 * world.policy.samples)
    )
    assert many <= few


def test_the_command_prints_seed_and_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "FAULTS", (GOOD, TWICE))
    canary.main(["--runs", "4", "--seed", "5"])
    shown = capsys.readouterr().out
    assert "seed 5, 600 requests a minute, 4 runs" in shown
    assert "| none | 12 |" in shown
    assert json.loads(shown.splitlines()[-1])["seed"] == 5
