"""What is known to be a bad setting is in `infra/` only where a reason is written down."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local.paths import ROOT
from tests.infra.tools import run

EXCEPTIONS = ROOT / "infra" / "checkov.yaml"
BAD = """
resource "aws_security_group" "open" {
  description = "Everybody"
  ingress {
    description = "ssh"
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_db_instance" "plain" {
  engine              = "postgres"
  instance_class      = "db.t4g.micro"
  publicly_accessible = true
}
"""


def findings(folder: Path) -> Iterator[tuple[str, str]]:
    """The checks that fail, each with the resource, without the index of one of several."""
    options = ("--framework", "terraform", "--skip-download", "--compact", "--quiet", "-o", "json")
    result = run("checkov", "--directory", folder, *options)
    found = json.loads(result.stdout)
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] + found["summary"]["failed"] > 10, "it looked at nothing"
    for failed in found["results"]["failed_checks"]:
        yield failed["check_id"], re.sub(r"\[[^\]]*\]", "", failed["resource"])


def test_bad_settings_are_those_with_a_reason() -> None:
    exceptions = yaml.safe_load(EXCEPTIONS.read_text(encoding="utf-8"))
    assert all(len(entry["why"]) > 30 for entry in exceptions.values())
    allowed = {(check, resource) for check, entry in exceptions.items() for resource in entry["resources"]}
    found = set(findings(ROOT / "infra"))
    assert sorted(found - allowed) == [], "mend it, or write down in infra/checkov.yaml why it is right here"
    assert sorted(allowed - found) == [], "it is not found any more: take it out of infra/checkov.yaml"


@pytest.mark.parametrize("check", ["CKV_AWS_24", "CKV_AWS_16", "CKV_AWS_17"])
def test_planted_errors_are_found(check: str, planted: set[str]) -> None:
    assert check in planted


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "main.tf").write_text(BAD)
    return {check for check, _ in findings(folder)}
