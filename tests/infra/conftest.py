"""One plan of each environment for all tests of a run."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from local.terraform import Terraform, TerraformMissing
from tests.infra import plans
from tests.infra.plans import Planned


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform on the root, without a network."""
    try:
        return plans.runner(tmp_path_factory.mktemp("terraform"))
    except TerraformMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def planned(offline: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Planned]:
    """Return the plan of an environment; all processes of a run get the same one."""
    base = tmp_path_factory.getbasetemp()
    folder: Path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "planned"
    folder.mkdir(exist_ok=True)

    @functools.cache
    def plan(environment: str) -> Planned:
        return plans.made(offline, environment, folder)

    return plan
