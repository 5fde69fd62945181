"""Whoever deploys the service reads one page: a name that is wrong there costs them an evening."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from search_api import edge, failures, telemetry
from search_api.auth.roles import RIGHTS
from search_api.query import parse, values
from search_api.settings import PREFIX, Settings

PAGE = (Path(__file__).parents[3] / "docs" / "search-api.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its own heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_all_settings_are_there_with_their_defaults() -> None:
    said: dict[str, str] = {}
    for names, defaults, _ in rows("Settings"):
        found = re.findall(rf"`{PREFIX}(\w+)`", names)
        given = [default.strip("` ") for default in defaults.split(", ")]
        said |= dict(zip(found, given * len(found) if len(given) == 1 else given, strict=True))
    wanted = {}
    for field in fields(Settings):
        if field.default is not MISSING:
            needed = field.name in ("redis_url", "issuer", "audience", "cursor_keys")
            wanted[field.name.upper()] = "required" if needed else str(field.default or "empty")
    wanted["TRUSTED_PROXIES"] = "0"
    assert said == wanted


def test_all_metrics_are_there_with_their_labels() -> None:
    section = PAGE.split("| metric | labels |", 1)[1]
    said = {match[1]: match[2] for match in re.finditer(r"^\| `(search_api_\w+)` \| (.+?) \|", section, re.MULTILINE)}
    wanted = {}
    for metric in (*vars(telemetry).values(), failures.FAILURES):
        if isinstance(metric, MetricWrapperBase):
            assert isinstance(metric, Counter | Histogram)
            name = metric._name + ("_total" if isinstance(metric, Counter) else "")
            wanted[name] = ", ".join(f"`{label}`" for label in metric._labelnames)
    assert said == wanted


def test_the_table_of_roles_is_the_one_that_holds() -> None:
    said = {role.strip("`"): (sees, warms) for role, sees, warms, _ in rows("Who may see what")}
    assert said.keys() == set(RIGHTS)
    for role, rights in RIGHTS.items():
        sees, warms = said[role]
        assert ("all tenants" in sees) == rights.every_tenant, role
        assert (warms == "yes") == rights.warms, role


def test_limits_are_those_of_the_service() -> None:
    said = dict(rows("Limits"))
    assert said["answer"] == f"{edge.DEADLINE_SECONDS:.0f} seconds, then 504"
    assert said["`q`"] == f"{values.MAX_TEXT} characters"
    assert said["`limit`"].startswith(f"{parse.MAX_LIMIT} hits a page, {parse.DEFAULT_LIMIT} unless asked")
    assert said["`limit`"].endswith(f"{parse.MAX_SUGGESTIONS} suggestions")
    assert said["values of all filters"] == str(parse.MAX_VALUES)
    sizes = (edge.LONGEST_URL, edge.LARGEST_HEADERS, edge.LARGEST_BODY)
    assert said["address, headers, body"] == ", ".join(f"{size // 1024} KiB" for size in sizes)
