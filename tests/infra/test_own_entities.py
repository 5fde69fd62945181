"""Entities of your own get their infrastructure by their files alone, also where several share a table."""

import json
import shutil
from pathlib import Path

import pytest

from local.paths import ROOT
from local.terraform import TerraformMissing
from tests.infra import plans

SHARED = """
source: dynamodb
table: shop
key: [customer, number]
key_types: [S, N]  # Terraform reads a bare N as false
select: {attribute: kind, equals: ENTITY}
freshness: {hours: 3}
"""


def test_two_entities_of_one_table_get_one_table_and_all_else_twice(tmp_path: Path) -> None:
    try:
        runs = plans.runner(tmp_path)
    except TerraformMissing as missing:
        pytest.skip(str(missing))
    entities = tmp_path / "include" / "entities"
    (tmp_path / "include").unlink()  # the link to that of the project
    shutil.copytree(ROOT / "include", tmp_path / "include")
    (entities / "orders.yaml").write_text(SHARED.replace("ENTITY", "order") + "read_from: export\n")
    (entities / "invoices.yaml").write_text(SHARED.replace("ENTITY", "invoice") + "expires: gone_at\n")
    given = plans.variables("dev", tmp_path)
    packages = given["function_packages"]
    packages |= dict.fromkeys(("orders", "invoices"), packages["members"])
    runs.plan(given, tmp_path / "plan", "-refresh=false")
    plan = plans.read(runs.show(tmp_path / "plan"))

    table = plan.one('module.data.aws_dynamodb_table.this["shop"]')
    assert (table["hash_key"], table["range_key"]) == ("customer", "number")
    types = {attribute["name"]: attribute["type"] for attribute in table["attribute"]}
    assert types == {"customer": "S", "number": "N"}
    assert table["ttl"][0]["attribute_name"] == "gone_at"

    functions = {values["function_name"] for values in plan.of("module.stream.aws_lambda_function.").values()}
    assert functions == {"members-stream", "orders-stream", "invoices-stream"}
    queues = {values["name"] for values in plan.of(".aws_sqs_queue.").values()}
    assert {"orders-dlq", "orders-parked", "invoices-dlq", "invoices-parked"} <= queues
    roles = {values["name"] for values in plan.of(".aws_iam_role.").values()}
    assert {"searchsync-stream-orders", "searchsync-stream-invoices"} <= roles
    task = plan.one('module.identity.aws_iam_role_policy.this["airflow-task"]')
    granted = json.dumps(json.loads(task["policy"]))
    assert "table/shop/export/*" in granted
    assert "table/members/export/*" not in granted
    assert "/searchsync/SEARCHSYNC_ORDERS_EXPORT_BUCKET" in {
        values["name"] for values in plan.of("aws_ssm_parameter.configuration").values()
    }
