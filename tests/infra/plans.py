"""Plans of the infrastructure, made without a network, and how tests look into them."""

import fcntl
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local import terraform
from local.files import write_atomically
from local.stream_function import served
from local.terraform import Terraform

REGION: Final = "eu-west-1"
ACCOUNT: Final = "123456789012"

MADE: Final = """locals {
  made = {
    opensearch_host  = "vpc-searchsync.eu-west-1.es.amazonaws.com"
    source_database  = "source.abc.eu-west-1.rds.amazonaws.com"
    airflow_database = "airflow.abc.eu-west-1.rds.amazonaws.com"
    broker           = "master.broker.abc.euw1.cache.amazonaws.com"
    cache            = "master.cache.abc.euw1.cache.amazonaws.com"
    records_bucket   = local.names.buckets.records
    secret_arns      = { for secret, name in local.names.secrets : secret => "arn:aws:secretsmanager:::${name}-AbCdEf" }
    issuer           = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
    audience         = ["client1", "client2"]
    api              = "a1b2c3d4e5"
    load_balancer    = "app/searchsync-search-api/0123456789abcdef"
    target_group     = "targetgroup/searchsync-search-api/0123456789abcdef"
  }
  key_arns = { for purpose, alias in local.names.key_aliases : purpose => "arn:aws:kms:::${alias}" }
}
"""
"""What AWS would say of what it makes, in place of infra/made.tf."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Planned:
    """A plan from nothing: what an environment consists of.

    :ivar json: the plan as Terraform describes it
    :ivar values: what is known of each resource before it is made, by address
    """

    json: Mapping[str, Any]
    values: Mapping[str, Values]

    def one(self, address: str) -> Values:
        """Return the values of a resource."""
        assert address in self.values, f"there is no {address}; of its type: {[*self.of(address.partition('[')[0])]}"
        return self.values[address]

    def of(self, text: str) -> dict[str, Values]:
        """Return the values of the resources that have a text in their address, such as ``.aws_s3_bucket.``."""
        return {address: values for address, values in self.values.items() if text in address}

    def scheduled(self, module: str) -> dict[str, dict[str, Any]]:
        """Return when the limits of a module's scaling become others, by name, as environments.yaml says it."""
        found = {}
        for address, action in self.of(f"module.{module}.aws_appautoscaling_scheduled_action.").items():
            assert action["timezone"] == "UTC", address
            (limits,) = action["scalable_target_action"]
            least, most = int(limits["min_capacity"]), int(limits["max_capacity"])
            found[address.split('"')[1]] = {"when": action["schedule"], "min": least, "max": most}
        return found


def variables(environment: str, packages: Path) -> dict[str, Any]:
    """Return values for all variables of the root, with packages that are empty."""
    functions = [*(entity.name for entity in served()), "token-customisation"]
    function_packages = {name: str(packages / f"{name}.zip") for name in functions}
    for path in function_packages.values():
        with zipfile.ZipFile(path, "w"):
            pass
    return {
        "environment": environment,
        "region": REGION,
        "account_id": ACCOUNT,
        "airflow_image": f"example.org/airflow@sha256:{'a' * 64}",
        "search_api_image": f"example.org/search-api@sha256:{'b' * 64}",
        "function_packages": function_packages,
        "domain_name": "search.example.org",
    }


def runner(work: Path) -> Terraform:
    """Return Terraform on a copy of the root that needs no network.

    :raises TerraformMissing: when program or provider cannot be had
    """
    root, keys = terraform.offline(work)
    write_atomically(root / "made_override.tf", MADE)
    runs = Terraform(root, work, keys)
    runs.init({})
    return runs


def made(runs: Terraform, environment: str, folder: Path) -> Planned:
    """Return the plan of an environment, which is made once in a folder that processes may share."""
    shown = folder / f"{environment}.json"
    with (folder / f"{environment}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shown.exists():
            runs.plan(variables(environment, folder), folder / environment, "-refresh=false")
            write_atomically(shown, json.dumps(runs.show(folder / environment)))
    return read(json.loads(shown.read_text()))


def read(plan: Mapping[str, Any]) -> Planned:
    """Return a plan that Terraform has shown."""
    return Planned(plan, dict(_resources(plan["planned_values"]["root_module"])))


def _resources(module: Mapping[str, Any]) -> Iterator[tuple[str, Values]]:
    for resource in module.get("resources", ()):
        yield resource["address"], resource.get("values", {})  # none when nothing is known
    for child in module.get("child_modules", ()):
        yield from _resources(child)
