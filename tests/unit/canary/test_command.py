"""``searchsync canary``: the same verdict from a shell, and an exit code that nobody takes for a pass."""

import json
from pathlib import Path

import pytest

from searchsync.cli.main import main
from tests.unit.canary.steps import equal, worse


def test_a_file_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "series.json"
    file.write_text(json.dumps(equal()), encoding="utf-8")
    assert main(["canary", "search-api", "50", str(file)]) == 0
    assert "latency_p95  pass" in capsys.readouterr().out
    file.write_text(json.dumps(worse(equal(), "errors", 1, add=15)), encoding="utf-8")
    assert main(["canary", "search-api", "50", str(file)]) == 1
    assert "Different: fail: errors:" in capsys.readouterr().err
    file.write_text("{}", encoding="utf-8")
    assert main(["canary", "search-api", "50", str(file)]) == 1
    assert "Different: inconclusive: errors: there is no series of errors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search-api", "33"), "33 is no stage"),
        (("api", "50"), "'api' is no subject"),
        (("search-api", "50"), "cannot read the series"),
    ],
)
def test_bad_input_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], said: str
) -> None:
    assert main(["canary", *arguments, str(tmp_path / "none.json")]) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "Nothing was judged" in shown
