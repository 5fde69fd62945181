"""The table of problems: a type that leads to nothing helps nobody, and one that is never raised only confuses."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import search_api
from search_api.problems import CODES

FOLDER = Path(search_api.__file__).parent
RAISING = ("Problem", "Unauthorized", "Forbidden", "refused", "__init__")
"""Names of what takes the code of a problem."""

IS_CODE = re.compile(r"[a-z]+(-[a-z]+)+").fullmatch


def raised() -> Iterator[str]:
    for file in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and name_of(node.func) in RAISING:
                texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
                yield from (text for text in texts[:2] if isinstance(text, str) and IS_CODE(text))


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def test_each_problem_that_can_be_raised_has_a_meaning_and_no_other_has() -> None:
    limits = {f"too-many-requests-of-{whose}" for whose in ("tenant", "address")}
    assert {*raised(), *limits} == CODES.keys()
    assert list(CODES) == sorted(CODES)
