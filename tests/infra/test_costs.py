"""The table of costs is that of `environments.yaml`: a size that is changed there changes what it says here."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from local.paths import ROOT
from tests.infra.plans import Planned

HOURS = 730
PAGE = ROOT / "docs" / "infrastructure" / "costs.md"
ROWS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "infra" / "environments.yaml").read_text(encoding="utf-8"))
LISTED = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [^|]+\| [\d,.]+ +\|", line)
]


def quantities(environment: str) -> Iterator[tuple[str, float]]:
    """How much of what is billed an environment has, a month, in the order of the page."""
    value = {name: row[environment] for name, row in ROWS.items()}
    services = [value[f"airflow_{name}"] for name in ("api_server", "scheduler", "dag_processor", "triggerer")]
    services += [{**value["airflow_workers"], "tasks": value["airflow_workers"]["min"]}]
    services += [{**value["search_api_size"], "tasks": value["search_api_scaling"]["min"]}]
    nodes, zones = value["search_nodes"], len(value["zones"])
    databases = 2 * (2 if value["database_standby"] else 1)
    yield f"OpenSearch node {nodes['type']}", nodes["count"] * HOURS
    yield f"OpenSearch manager {value['search_managers']}", 3 * HOURS if value["search_managers"] else 0
    yield "OpenSearch disk", nodes["count"] * nodes["gigabytes"]
    yield f"PostgreSQL {value['database_class']}", databases * HOURS
    yield "PostgreSQL disk", databases * value["database_gb"]
    yield f"Valkey {value['cache_type']}", 2 * value["cache_nodes"] * HOURS
    yield "Fargate processors", sum(one["tasks"] * one["cpu"] / 1024 for one in services) * HOURS
    yield "Fargate memory", sum(one["tasks"] * one["memory"] / 1024 for one in services) * HOURS
    yield "NAT gateways", value["nat_gateways"] * HOURS
    yield "interface endpoints", 9 * zones * HOURS if value["interface_endpoints"] else 0


def prices() -> dict[str, float]:
    return {row[0]: float(row[1]) for row in LISTED}


@pytest.mark.parametrize(("environment", "column"), [("dev", 2), ("production", 3)])
def test_amounts_are_quantities_times_prices(environment: str, column: int) -> None:
    listed = {row[0]: float(row[column].replace(",", "")) for row in LISTED if row[column] != ""}
    for name, quantity in quantities(environment):
        if quantity:
            assert listed.pop(name) == pytest.approx(quantity * prices()[name], abs=0.51), name
    fixed = {"load balancers", "KMS keys", "secrets", "firewall", "alarms", "what depends on use"}
    assert {name for name, amount in listed.items() if amount} <= fixed


@pytest.mark.parametrize(("environment", "column"), [("dev", 2), ("production", 3)])
def test_what_is_billed_one_by_one_is_what_is_planned(
    planned: Callable[[str], Planned], environment: str, column: int
) -> None:
    plan = planned(environment)
    alarms = plan.of(".aws_cloudwatch_metric_alarm.").values()
    watched = sum(max(1, sum(bool(query["metric"]) for query in alarm["metric_query"])) for alarm in alarms)
    quantity = {
        "load balancers": len(plan.of(".aws_lb.")) * HOURS,
        "KMS keys": len(plan.of(".aws_kms_key.")),
        "secrets": len(plan.of(".aws_secretsmanager_secret.")) + len(plan.of(".aws_db_instance.")),  # of owners
        "firewall": 5 + len(plan.one("module.edge.aws_wafv2_web_acl.this")["rule"]),
        "alarms": watched + 5 * len(plan.of(".aws_cloudwatch_composite_alarm.")),
    }
    said = {row[0]: float(row[column]) for row in LISTED if row[0] in quantity}
    assert said == {name: pytest.approx(number * prices()[name], abs=0.51) for name, number in quantity.items()}


@pytest.mark.parametrize(("environment", "column"), [("dev", 2), ("production", 3)])
def test_the_sum_is_that_of_the_rows(environment: str, column: int) -> None:
    amounts = [float(row[column].replace(",", "")) for row in LISTED if row[column]]
    (total,) = re.findall(r"^\| \*\*a month\*\* +\|.*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    said = total.strip("|").split("|")[column].strip().strip("*").replace(",", "")
    assert math.isclose(float(said), sum(amounts), abs_tol=len(amounts))
