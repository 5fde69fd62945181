"""The infrastructure of `infra/`, applied to an emulator: made, planned again, checked and destroyed.

The emulator is one account, and holds one environment at a time. Terraform's state is in a bucket of it, with locking,
as it is on AWS.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from local import infra_drift, infra_server, lambda_package, stream_function, tables, terraform
from local.airflow import REGION, aws_environment
from local.deployment.target import state_bucket
from local.errors import LocalError
from local.infra_drift import Change
from local.lambda_package import TOKEN_CUSTOMISATION
from local.paths import Home
from local.terraform import INFRA, Terraform, Variables

ACCOUNT: Final = "123456789012"
DOMAIN_NAME: Final = "search.example.org"
DEFAULT_ENVIRONMENT: Final = "dev"
ARCHITECTURE: Final = "arm64"
_AT_ONCE = "-parallelism=30"  # most of the time goes into waits of the provider
_SAY_SECONDS = 20.0
_SHOWN = 5
Say = Callable[[str], None]


def environments() -> list[str]:
    """Return the environments that `infra/environments.yaml` has a column for."""
    rows = yaml.safe_load((INFRA / "environments.yaml").read_text(encoding="utf-8"))
    return list(next(iter(rows.values())))


def check_environment(name: str) -> None:
    """Refuse an environment that cannot be applied to the emulator.

    :raises LocalError: when there is none of this name, or it is production
    """
    if name not in environments():
        raise LocalError(f"there is no environment {name!r}. Nothing was changed. Say one of: dev, staging")
    if name == "production":
        raise LocalError(
            "production is not for the emulator, which leaves parts of it out. Nothing was changed. Say dev or "
            "staging; production is deployed by scripts/deploy.sh, which wants an approval"
        )


def check_owner(outputs: dict[str, Any], environment: str, account: str) -> None:
    """Refuse a state of somebody else: a plan from it would change their resources, or make ours twice.

    :param outputs: of the state; empty when there is none yet
    :raises LocalError: when the state is that of another environment or account
    """
    if not outputs:
        return
    found = outputs.get("environment"), outputs.get("account_id")
    if found != (environment, account):
        raise LocalError(
            f"the state belongs to environment {found[0]} of account {found[1]}, and {environment} of account "
            f"{account} was asked for. Nothing was changed. Name the bucket and key of its own state; on the emulator, "
            "which holds one environment at a time: ./dev infra down"
        )


@dataclass
class Infrastructure:
    """The emulator of a home, and what is applied to it."""

    home: Home
    say: Say
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.home.part("infra")

    def up(self, environment: str) -> list[tuple[str, str]]:
        """Apply an environment, and prove that a second plan changes nothing. Return what was made, for people.

        :raises LocalError: when Terraform is missing or fails, or the second plan has changes without a reason
        """
        check_environment(environment)
        terraform.find()  # before anything is started: it may be missing
        endpoint, began = infra_server.start(self.folder), time.monotonic()
        runs = self._prepared(endpoint, environment)
        self._build()
        if runs.plan(self._variables(environment), self._plan, _AT_ONCE):
            self._apply(runs)
        refuse_changes(self._second_plan(runs, environment))
        rows = [("applied", f"{environment}, in {time.monotonic() - began:.0f} s"), ("emulator", endpoint)]
        return [*rows, *_made(runs.addresses())]

    def plan(self, environment: str) -> list[Change]:
        """Return what a plan of the environment would change, explained where `infra/emulator.yaml` does it.

        :raises LocalError: when nothing was applied, or Terraform fails
        """
        check_environment(environment)
        return self._second_plan(self._prepared(self.endpoint(), environment), environment)

    def down(self) -> list[str]:
        """Destroy what was applied, and stop the emulator. Return what was destroyed."""
        endpoint = infra_server.address(self.folder)
        if endpoint is None:
            infra_server.stop(self.folder)
            return []
        runs = self._terraform(endpoint)
        destroyed, outputs = runs.addresses(), runs.output()
        if destroyed:
            environment = outputs.get("environment", DEFAULT_ENVIRONMENT)
            runs.plan(self._variables(environment), self._plan, "-destroy", "-refresh=false", _AT_ONCE)
            self._apply(runs)
        infra_server.stop(self.folder)
        return destroyed

    def endpoint(self) -> str:
        """Return the address of the emulator.

        :raises LocalError: when it does not run
        """
        if (found := infra_server.address(self.folder)) is None:
            raise LocalError("nothing is applied: `./dev infra up` starts an emulator and applies the infrastructure")
        return found

    @property
    def _plan(self) -> Path:
        return self.folder / "plan"

    def _terraform(self, endpoint: str) -> Terraform:
        """Terraform on the root, with its state in the emulator."""
        runs = Terraform(INFRA, self.folder, aws_environment(endpoint))
        _make_state_bucket(endpoint)
        runs.init(_backend())
        return runs

    def _prepared(self, endpoint: str, environment: str) -> Terraform:
        """The same, when the state is that of the environment."""
        runs = self._terraform(endpoint)
        check_owner(runs.output(), environment, ACCOUNT)
        return runs

    def _variables(self, environment: str) -> Variables:
        """Values for all variables of the root. The images are names: the emulator runs no containers."""
        folder = self.folder / "packages"
        streams = {one.name: f"{stream_function.name_of(one)}-{ARCHITECTURE}" for one in stream_function.served()}
        packages = {**streams, TOKEN_CUSTOMISATION: TOKEN_CUSTOMISATION}
        return {
            "environment": environment,
            "region": REGION,
            "account_id": ACCOUNT,
            "airflow_image": f"example.org/airflow@sha256:{'0' * 64}",
            "search_api_image": f"example.org/search-api@sha256:{'0' * 64}",
            "function_packages": {name: str(folder / f"{file}.zip") for name, file in packages.items()},
            "domain_name": DOMAIN_NAME,
            "emulated": True,
        }

    def _build(self) -> None:
        """Make the packages of all functions."""
        for entity in stream_function.served():
            lambda_package.build(entity, self.folder / "packages")
        lambda_package.build_token_customisation(self.folder / "packages")

    def _second_plan(self, runs: Terraform, environment: str) -> list[Change]:
        runs.plan(self._variables(environment), self._plan, _AT_ONCE)
        return infra_drift.changes(runs.show(self._plan), infra_drift.known())

    def _apply(self, runs: Terraform) -> None:
        """Apply the plan, and say now and then how far it is."""
        done, planned, said = 0, 0, time.monotonic()
        begun: set[str] = set()

        def hear(event: dict[str, Any]) -> None:
            nonlocal done, planned, said
            kind, address = event["type"], event.get("hook", event.get("change", {})).get("resource", {}).get("addr")
            planned += kind == "planned_change"
            done += kind == "apply_complete"
            if kind == "apply_start":
                begun.add(address)
            elif kind in ("apply_complete", "apply_errored"):
                begun.discard(address)
            if time.monotonic() - said > _SAY_SECONDS:
                said = time.monotonic()
                self.say(f"{done} of {planned} resources; now {', '.join(sorted(begun)[:_SHOWN])}")

        runs.apply(self._plan, _AT_ONCE, event=hear)


def refuse_changes(found: Sequence[Change]) -> None:
    """Refuse changes of a second plan that nothing explains.

    :raises LocalError: when there are some; the message names them
    """
    if unexplained := dict.fromkeys(change.what for change in found if not change.why):
        raise LocalError(
            "what was applied is there, but a second plan would change it again, which infra/emulator.yaml does not "
            f"explain: {'; '.join(unexplained)}"
        )


def _made(addresses: Sequence[str]) -> list[tuple[str, str]]:
    """How much was made in each module."""
    modules = Counter(address.split(".")[1] if address.startswith("module.") else "root" for address in addresses)
    rows = [(name, f"{count} resources") for name, count in sorted(modules.items())]
    return [*rows, ("together", f"{len(addresses)} resources")]


def _backend() -> dict[str, str | bool]:
    """Where the state is: in a bucket of the account that it describes."""
    return {
        "bucket": state_bucket(ACCOUNT),
        "key": "searchsync/terraform.tfstate",
        "region": REGION,
        "use_path_style": True,
        "skip_credentials_validation": True,
        "skip_requesting_account_id": True,
        "skip_metadata_api_check": True,
    }


def _make_state_bucket(endpoint: str) -> None:
    s3 = tables.client("s3", endpoint)
    if state_bucket(ACCOUNT) in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        return
    s3.create_bucket(Bucket=state_bucket(ACCOUNT), CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=state_bucket(ACCOUNT), VersioningConfiguration={"Status": "Enabled"})
