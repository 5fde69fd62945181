"""What Great Expectations says of no rows, of lists, and of what it cannot compute."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from searchsync.catalog import include_dir
from searchsync.compare.differences import DiffReport
from searchsync.quality import expectations
from searchsync.sources.postgres import PostgresSource
from tests.members import World


def figures(name: str) -> dict[str, float]:
    """Good ones of all that the file of an entity names."""
    described = yaml.safe_load((include_dir() / "expectations" / f"{name}.yaml").read_text("utf-8"))
    return {one["column"]: 0.0 for one in described["operations"]}


LOCATIONS, MEMBERS = figures("locations"), figures("members")


def failed(source: Any, seen: dict[str, float], folder: Path) -> dict[str, str]:
    """Names of the expectations that do not hold, with what was observed."""
    found = expectations.evaluate(source, seen, DiffReport("any"), folder)
    return {result.name: result.observed for result in found.failed}


def test_an_empty_table_violates_nothing(owner: psycopg.Connection, source: PostgresSource, tmp_path: Path) -> None:
    assert failed(source, LOCATIONS, tmp_path) == {}


def test_a_table_without_items_violates_nothing(world: World, tmp_path: Path) -> None:
    assert failed(world.source, MEMBERS, tmp_path) == {}


def test_a_field_that_no_item_has_violates_nothing(world: World, tmp_path: Path) -> None:
    world.put("m-1", name="Ada", tenant_id="acme")
    assert failed(world.source, MEMBERS, tmp_path) == {}


def test_a_member_that_no_tenant_would_see_is_told(world: World, tmp_path: Path) -> None:
    world.put("m-1", name="Ada")
    assert failed(world.source, MEMBERS, tmp_path) == {"each member has its tenant": "1"}


def test_each_value_of_a_list_is_looked_at(world: World, tmp_path: Path) -> None:
    emails = {"L": [{"S": "a@x"}, {"S": "b@x"}]}
    world.put("m-1", tenant_id="acme", status={"SS": ["active", "pending"]}, email=emails)
    assert failed(world.source, MEMBERS, tmp_path / "good") == {}
    world.put("m-2", tenant_id="acme", status={"SS": ["active", "gone"]})
    assert failed(world.source, MEMBERS, tmp_path / "bad") == {"the status is a known one": "1"}


@pytest.mark.parametrize("shape", ["for each figure", "once"])
def test_an_expectation_that_cannot_be_computed_says_why(shape: str, tmp_path: Path) -> None:
    """Both shapes that the library gives ``exception_info``; the first was shown without a cause."""
    why = {"raised_exception": True, "exception_message": "no such column", "exception_traceback": "..."}
    info = {"MetricConfigurationID(column.max)": why} if shape == "for each figure" else why
    assert expectations._cause(info) == "no such column"
    assert expectations._cause({"raised_exception": False, "exception_message": None}) == ""


def test_a_figure_that_is_not_there_fails_with_its_cause(
    owner: psycopg.Connection, source: PostgresSource, tmp_path: Path
) -> None:
    found = failed(source, {name: 0.0 for name in LOCATIONS if name != "blocked"}, tmp_path)
    assert found.keys() == {"the index takes writes"}
    assert "blocked" in found["the index takes writes"]
