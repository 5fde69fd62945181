"""The policy: a wrong one would let a bad version pass, or no good one."""

import shutil
from pathlib import Path

import pytest

from searchsync.canary.policy import policy
from searchsync.errors import BadParams

REPO = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the file, which is the one that is read."""
    shutil.copytree(REPO / "include", tmp_path / "include")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path / "include"))
    return tmp_path / "include" / "policies" / "canary.yaml"


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_file_can_be_used() -> None:
    rules = policy()
    assert [stage.share for stage in rules.stages] == [10, 50, 100]
    function = rules.subject("function")
    assert {metric.name for metric in function.metrics if metric.critical} == {"errors", "parked", "unacknowledged"}
    assert not rules.subject("search-api").metrics[1].higher_is_worse


def test_all_tests_of_a_deployment_share_the_false_alarms() -> None:
    """Four metrics at three stages are twelve chances to call a good version bad."""
    rules = policy()
    assert rules.level(rules.subject("function")) == pytest.approx(rules.false_alarms / 12)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("false_alarms: 0.05", "false_alarm: 0.05", r"canary.yaml:4: false_alarm is no key.*false_alarms"),
        ("critical: false}\n    signals:  #", "critical: nearly}\n    signals:  #", r"critical must be true or false"),
        ("{of: duration, worse", "{of: durations, worse", r":\d+: durations is no signal of function; the signals are"),
        ("per: invocations", "per: calls", r":\d+: calls is no signal of function"),
        ("worse: lower", "worse: less", r"worse must be higher or lower, not 'less'"),
        ("{share: 50, baseline: beside}", "{share: 5, baseline: beside}", r":\d+: the shares of the stages must grow"),
        ("{share: 50, baseline: beside}", "{share: 50, baseline: besides}", r"baseline must be beside or before"),
        ("name: Parked", "name: Park", r":\d+: metrics.yaml has no metric Park"),
        ("samples: 12", "samples: 4", r":\d+: with 4 samples no difference is significant for function \(12 tests"),
        ("change: 0.5,", "change: 0,", "change"),
        (
            "5XX_Count, zero_with: requests",
            "5XX_Count, zero_with: asked",
            r":\d+: asked must be a signal of CloudWatch",
        ),
        (
            "5XX_Count, zero_with: requests",
            "5XX_Count, zero_with: unreached",
            r"unreached must be a signal .* another one",
        ),
        ("statistic: p95", "statistic: q95", "statistic"),
        (
            "bench rollback`)\n    metrics:",
            "bench rollback`)\n    metrics: {}\n    metrics:",
            "metrics stands here a second time",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_line(file: Path, old: str, new: str, said: str) -> None:
    change(file, old, new)
    with pytest.raises(BadParams, match=said):
        policy()


def test_what_is_not_in_it_is_named_with_what_is() -> None:
    rules = policy()
    with pytest.raises(BadParams, match=r"25 is no stage of canary[.]yaml; it has 10, 50, 100 .*Nothing was judged"):
        rules.stage(25)
    with pytest.raises(
        BadParams, match=r"'api' is no subject of canary.yaml; it has function, search-api-ecs, search-api"
    ):
        rules.subject("api")
