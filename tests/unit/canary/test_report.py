"""The page of a verdict: readable without a network, and safe to show."""

import json
from pathlib import Path

from searchsync.canary import report, run
from searchsync.canary.run import Question
from tests.unit.canary.steps import equal, worse


def test_the_page_and_the_figures_are_written(tmp_path: Path) -> None:
    given = worse(equal(), "errors", 1, add=15)
    given["latency_p95"]["canary"][2][1] = None
    question = Question("search-api", 50, "<commit>", "old", "new", series=given)
    judgement, series = run.answer(question, lambda: None)
    found = run.record(question, judgement, "canary/r1")
    report.write(found, [found, {**found, "share": 10, "verdict": "pass"}], series, tmp_path / "run")
    page = (tmp_path / "run" / "summary.html").read_text(encoding="utf-8")
    for part in ("search-api, 50 %", '<span class="fail">fail</span>', "errors (critical)", "10 %", "&lt;commit&gt;"):
        assert part in page
    assert "<commit>" not in page
    assert "http" not in page, "it needs no network"
    kept = json.loads((tmp_path / "run" / "canary.json").read_text(encoding="utf-8"))
    assert kept["verdict"] == "fail"
    assert len(kept["series"]["errors"]["canary"]) == 15


def test_a_curve_leaves_out_what_is_not_known() -> None:
    drawn = report.curve({0.0: 1.0, 60.0: None, 120.0: 2.0}, {})
    assert drawn.count(",") >= 2
    assert "0 to 2" in drawn
    assert "None" not in drawn
