"""What is deployed where: read from the environment's variables, and held against the credentials."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import yaml

from local.deployment.release import Release
from local.errors import LocalError
from local.paths import ROOT
from local.terraform import Terraform

_FIELDS: Final = ("account_id", "region", "domain_name")
_IMAGES: Final = ("airflow_image", "search_api_image")
STATE_KEY: Final = "searchsync.tfstate"


@dataclass(frozen=True, slots=True)
class Target:
    """An environment. The fields are variables of `infra/variables.tf`."""

    environment: str
    account_id: str
    region: str
    domain_name: str

    def variables(self, release: Release, packages: Mapping[str, str]) -> dict[str, str | Mapping[str, str]]:
        """Return the variables of the Terraform root for a release."""
        own = {name: getattr(self, name) for name in ("environment", *_FIELDS)}
        return {**own, **{name: getattr(release, name) for name in _IMAGES}, "function_packages": packages}

    def session(self) -> boto3.Session:
        """Return a session in the environment's region.

        :raises LocalError: when its credentials are of another account
        """
        session = boto3.Session(region_name=self.region)
        account = session.client("sts").get_caller_identity()["Account"]
        if account != self.account_id:
            raise LocalError(
                f"the credentials are of account {account}, and {self.environment} is in account {self.account_id} "
                "(TF_VAR_account_id). Nothing was changed. Take a role of that account"
            )
        return session

    def terraform(self, checkout: Path, work: Path) -> Terraform:
        """Return Terraform on the root of a checkout, with the environment's state and the shell's credentials."""
        credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        terraform = Terraform(checkout / "infra", work, credentials)
        terraform.init({"bucket": state_bucket(self.account_id), "key": STATE_KEY, "region": self.region})
        return terraform

    @property
    def bake_seconds(self) -> float:
        """Seconds for which each share of the traffic is watched."""
        return float(self._row("bake_seconds"))

    @property
    def judged(self) -> bool:
        """Whether each share waits for a verdict of the DAG `canary`."""
        return bool(self._row("judged"))

    def _row(self, name: str) -> Any:
        rows = yaml.safe_load((ROOT / "infra" / "environments.yaml").read_text(encoding="utf-8"))
        return rows[name][self.environment]


def state_bucket(account: str) -> str:
    """Return the name of the bucket with the state of an account."""
    return f"searchsync-state-{account}"


def read(environment: str, variables: Mapping[str, str]) -> Target:
    """Return the target that the variables `TF_VAR_*` describe.

    :raises LocalError: with all that are missing
    """
    return Target(environment, **_values(_FIELDS, variables))


def read_release(commit: str, variables: Mapping[str, str]) -> Release:
    """Return the release of a commit with the images that the variables `TF_VAR_*` name.

    :raises LocalError: with all that are missing
    """
    images = _values(_IMAGES, variables)
    return Release(commit, airflow_image=images["airflow_image"], search_api_image=images["search_api_image"])


def _values(names: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    values = {name: variables.get(f"TF_VAR_{name}", "") for name in names}
    if missing := [f"TF_VAR_{name}" for name, value in values.items() if not value]:
        raise LocalError(
            f"not set: {', '.join(missing)}. Nothing was changed. infra/variables.tf says what each one is; the log of "
            "the build names the images"
        )
    return values


def clients(session: boto3.Session) -> dict[str, Any]:
    """Return the clients that a deployment needs, by service."""
    names = ("application-autoscaling", "cloudwatch", "ecs", "elbv2", "lambda", "secretsmanager", "ssm")
    return {name: session.client(name) for name in names}
