"""Each rule of the protocol holds in the course of events that needs it, and its absence is noticed."""

import pytest

from searchsync.cluster.client import Client
from tests.consistency.ground import Violation
from tests.consistency.rules import PROOFS, Proof
from tests.consistency.stage import staged
from tests.consistency.writes import Scenario

RULES = {str(number) for number in range(1, 15)} | {"position", "selection"}


def test_every_rule_has_a_proof() -> None:
    assert {proof.rule for proof in PROOFS.values()} == RULES


@pytest.mark.parametrize("scenario", dict.fromkeys(proof.scenario for proof in PROOFS.values()))
def test_the_product_gets_it_right(client: Client, scenario: Scenario) -> None:
    with staged(client) as stage:
        scenario(stage)


@pytest.mark.mutant
@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS.keys())
def test_without_the_rule_it_goes_wrong(client: Client, proof: Proof) -> None:
    with proof.mutant(), staged(client) as stage, pytest.raises(Violation):
        proof.scenario(stage)
