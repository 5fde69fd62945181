"""The guard of deployments reads plans that Terraform really makes: of a table whose key changes, or that goes."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.deployment import plan as plans
from local.errors import LocalError
from local.terraform import Terraform, TerraformMissing

PROVIDER = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "offline"
  secret_key                  = "offline"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
"""
TABLE = """
resource "aws_dynamodb_table" "orders" {
  name         = "orders"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "KEY"
  attribute {
    name = "KEY"
    type = "S"
  }
  tags = { Team = "TAG" }
}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Terraform]:
    """A root whose state has a table with the key `id`."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "main.tf").write_text(PROVIDER)
    table = {
        "id": "orders",
        "name": "orders",
        "hash_key": "id",
        "billing_mode": "PAY_PER_REQUEST",
        "attribute": [{"name": "id", "type": "S"}],
        "tags": {"Team": "a"},
        "tags_all": {"Team": "a"},
    }
    resource = {
        "mode": "managed",
        "type": "aws_dynamodb_table",
        "name": "orders",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"schema_version": 1, "attributes": table}],
    }
    state = {"version": 4, "terraform_version": "1.10.0", "serial": 1, "lineage": "x", "outputs": {}}
    (folder / "terraform.tfstate").write_text(json.dumps({**state, "resources": [resource]}))
    try:
        terraform = Terraform(folder, folder / "work")
        terraform.init({})
    except TerraformMissing as missing:
        pytest.skip(str(missing))
    return folder, terraform


def planned(root: tuple[Path, Terraform], text: str) -> dict[str, Any]:
    folder, terraform = root
    (folder / "main.tf").write_text(PROVIDER + text)
    terraform.plan({}, folder / "plan", "-refresh=false")
    return terraform.show(folder / "plan")


def test_a_change_is_let_through(root: tuple[Path, Terraform]) -> None:
    plan = planned(root, TABLE.replace("KEY", "id").replace("TAG", "b"))
    plans.refuse_loss(plan)
    assert "aws_dynamodb_table.orders: " in plans.summary(plan)


def test_a_table_that_would_be_replaced_is_refused(root: tuple[Path, Terraform]) -> None:
    plan = planned(root, TABLE.replace("KEY", "number").replace("TAG", "a"))
    with pytest.raises(LocalError, match=r"aws_dynamodb_table\.orders \(replaced because of hash_key\)"):
        plans.refuse_loss(plan)


def test_a_table_that_would_be_deleted_is_refused(root: tuple[Path, Terraform]) -> None:
    with pytest.raises(LocalError, match=r"aws_dynamodb_table\.orders \(deleted\)"):
        plans.refuse_loss(planned(root, ""))


def test_a_table_that_is_let_go_is_kept(root: tuple[Path, Terraform]) -> None:
    """What the refusal advises is not refused."""
    kept = "removed {\n  from = aws_dynamodb_table.orders\n  lifecycle {\n    destroy = false\n  }\n}\n"
    plans.refuse_loss(planned(root, kept))
