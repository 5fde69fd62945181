"""A file of expectations with a mistake in it is said by name, and never passes."""

from pathlib import Path
from typing import Any

import pytest

from searchsync.errors import BadParams
from searchsync.quality import expectations

GOOD = {"name": "n", "severity": "critical", "type": "expect_column_max_to_be_between", "column": "blocked"}


@pytest.mark.parametrize(
    "wrong",
    [
        {**GOOD, "limit": "no such limit"},
        {**GOOD, "type": "expect_nothing", "max_value": 0},
        {**GOOD, "severity": "awful", "max_value": 0},
        {**GOOD, "max_value": 0, "no_such_argument": 1},
        {key: value for key, value in GOOD.items() if key != "name"},
        {key: value for key, value in GOOD.items() if key != "severity"},
        {key: value for key, value in GOOD.items() if key != "column"} | {"max_value": 0},
    ],
)
def test_what_there_is_not_is_refused(wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"operations": [wrong], "comparison": [], "rows": [], "query": "SELECT 1"}
    monkeypatch.setattr(expectations, "_described", lambda _: described)
    source: Any = type("Source", (), {"entity": None})()
    with pytest.raises(BadParams, match="operations"):
        expectations.evaluate(source, {"blocked": 0.0}, None, tmp_path)
