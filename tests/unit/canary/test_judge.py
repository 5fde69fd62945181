"""The verdict: what would be let through, or taken back, for no reason."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from searchsync.canary import judge as judging
from searchsync.canary.judge import FAIL, INCONCLUSIVE, PASS, Finding, Judgement, judge
from searchsync.canary.policy import policy
from searchsync.canary.series import parse
from searchsync.errors import BadParams
from tests.unit.canary.steps import BEGIN, Given, equal, moments, worse

POLICY = policy()
SUBJECT = POLICY.subject("search-api")


def judged(given: Given, share: int = 50) -> Judgement:
    return judge(POLICY, SUBJECT, POLICY.stage(share), parse(given, SUBJECT))


def finding(given: Given, metric: str, share: int = 50) -> Finding:
    return next(one for one in judged(given, share).findings if one.metric == metric)


@pytest.mark.parametrize("share", [10, 50])
def test_equal_versions_pass(share: int) -> None:
    found = judged(equal(share=share), share)
    assert (found.verdict, found.why) == (PASS, "no metric is worse by what matters")
    assert json.loads(json.dumps(found.as_dict()))["findings"][0]["metric"] == "errors"


def test_a_critical_metric_fails_alone() -> None:
    found = judged(worse(equal(), "errors", 1, add=15))
    assert found.verdict == FAIL
    assert "errors: " in found.why
    assert "Cliff's delta 1.00" in found.why
    assert [one.verdict for one in found.findings] == [FAIL, PASS, PASS, PASS]


def test_in_the_direction_that_is_worse() -> None:
    """Fewer searches that find something are worse, and more of them are not."""
    assert judged(worse(equal(), "found", 0.8)).verdict == FAIL
    assert judged(worse(equal(), "found", 1.1)).verdict == PASS
    assert judged(worse(equal(), "latency_p95", 0.3)).verdict == PASS


def test_one_that_is_not_critical_stops_and_two_fail() -> None:
    """Slower alone may have a reason that people accept; nobody is asked when it passes."""
    given = worse(equal(), "latency_p50", 2)
    assert judged(given).verdict == INCONCLUSIVE
    assert [one.verdict for one in judged(given).findings] == [PASS, PASS, FAIL, PASS]
    assert judged(worse(given, "latency_p95", 2)).verdict == FAIL


def test_what_is_significant_and_does_not_matter_passes() -> None:
    """Three percent slower in each minute is beyond doubt, and no reason to go back."""
    given = equal()
    given["latency_p50"]["canary"] = [[time, value * 1.15] for time, value in given["latency_p50"]["baseline"]]
    found = finding(given, "latency_p50")
    assert found.p is not None
    assert found.p < found.level
    assert found.verdict == PASS


def test_what_matters_and_may_be_chance_is_inconclusive() -> None:
    """Errors in two of fifteen minutes, many: not significant by ranks, and no version to go on with."""
    given = equal()
    for minute in (4, 9):
        given["errors"]["canary"][minute][1] = 200
    found = finding(given, "errors")
    assert (found.verdict, judged(given).verdict) == (INCONCLUSIVE, INCONCLUSIVE)
    assert "may be chance" in found.why


def test_a_large_effect_of_few_minutes_is_inconclusive() -> None:
    """Errors in five of twelve minutes come by chance once in a hundred times, and there are twelve chances."""
    given = equal(POLICY.samples)
    for side in ("baseline", "canary"):
        for minute, point in enumerate(given["errors"][side]):
            point[1] = 60 if side == "canary" and minute < 5 else 0
    found = finding(given, "errors")
    assert found.p is not None
    assert found.effect is not None
    assert (found.level < found.p < 0.05, found.effect > POLICY.effect) == (True, True)
    assert found.verdict == INCONCLUSIVE


def test_a_sure_difference_in_few_minutes_is_inconclusive() -> None:
    """Of two hours, a quarter of the minutes are bad for sure: something happens now and then, and a person looks."""
    given = equal(120)
    for minute in range(0, 120, 4):
        given["errors"]["canary"][minute][1] = 100
    found = finding(given, "errors")
    assert found.p is not None
    assert found.effect is not None
    assert (found.p <= found.level, found.effect < POLICY.effect) == (True, True)
    assert found.verdict == INCONCLUSIVE


def missing(given: Given) -> None:
    del given["latency_p50"]


def empty(given: Given) -> None:
    given["errors"]["canary"] = []


def shorter(given: Given) -> None:
    given["errors"]["canary"].pop()


def shifted(given: Given) -> None:
    for point, time in zip(given["found"]["canary"], moments(begin=BEGIN + timedelta(minutes=1)), strict=True):
        point[0] = time


def without_traffic(given: Given) -> None:
    for point in given["requests"]["canary"]:
        point[1] = 0


def too_little_traffic(given: Given) -> None:
    """Fifteen minutes of eighteen requests, of which none failed: an error rate of one percent would not be seen."""
    for name, value in (("requests", 18), ("errors", 0), ("found", 15)):
        for point in given[name]["canary"]:
            point[1] = value


def unknown(given: Given) -> None:
    given["errors"]["baseline"][3][1] = None


def never_measured(given: Given) -> None:
    for point in given["latency_p95"]["canary"]:
        point[1] = 0


def mostly_not_measured(given: Given) -> None:
    """Of the others it says nothing that the new version is forty times as slow."""
    for side, value in (("baseline", 20), ("canary", 800)):
        for minute, point in enumerate(given["latency_p95"][side]):
            point[1] = 0 if minute < 8 else value


def too_few(given: Given) -> None:
    for point in given["latency_p95"]["canary"][: -(POLICY.samples - 1)]:
        point[1] = None


def impossible(given: Given) -> None:
    given["errors"]["canary"][0][1] = given["requests"]["canary"][0][1] + 1


def uncounted(given: Given) -> None:
    """A minute in which everything failed, and nobody counted what was asked."""
    given["requests"]["canary"][2][1] = None
    given["errors"]["canary"][2][1] = 300


def by_the_second(given: Given) -> None:
    """Of ten requests 0.45 fail; rounded, none does."""
    for side in ("baseline", "canary"):
        for name, value in (("requests", 10.0), ("found", 8.0), ("errors", 0.0 if side == "baseline" else 0.45)):
            for point in given[name][side]:
                point[1] = value


@pytest.mark.parametrize(
    ("spoil", "metric", "said"),
    [
        (missing, "latency_p50", "there is no series of latency_p50"),
        (empty, "errors", "there is no series of errors"),
        (shorter, "errors", "series of errors are of unequal times: 15 and 14 points"),
        (shifted, "found", "series of found are of unequal times"),
        (without_traffic, "errors", "in 0 minutes both sides have requests, and 12 are needed"),
        (too_little_traffic, "errors", "270 requests are too few to see 1.0%; 300 can"),
        (unknown, "errors", "1 minutes have requests, and not errors"),
        (never_measured, "latency_p95", "it is mostly 0, so it was not measured"),
        (mostly_not_measured, "latency_p95", "it is mostly 0, so it was not measured"),
        (uncounted, "errors", "there are more errors than requests"),
        (by_the_second, "errors", "errors and requests are no counts: they have fractions"),
        (too_few, "latency_p95", "in 11 minutes both sides have a value, and 12 are needed"),
        (impossible, "errors", "there are more errors than requests"),
    ],
)
def test_what_cannot_be_compared_is_inconclusive_and_never_a_pass(
    spoil: Callable[[Given], None], metric: str, said: str
) -> None:
    given = equal()
    spoil(given)
    found = finding(given, metric)
    assert (found.verdict, said in found.why, found.p) == (INCONCLUSIVE, True, None), found
    assert judged(given).verdict == INCONCLUSIVE


@pytest.mark.parametrize("share", [10, 50])
def test_a_version_that_is_mostly_away_does_not_pass(share: int) -> None:
    """In a quarter of an hour of an hour it answers, and well; in the rest it has not a single request."""
    given = equal(60, share=share)
    for pair in given.values():
        for point in pair["canary"][15:]:
            point[1] = None
    found = judged(given, share)
    assert found.verdict == INCONCLUSIVE
    assert f"of requests, and was given {share} %" in found.why
    bad = judged(worse(equal(share=share), "errors", 1, add=15), share)
    assert bad.verdict == FAIL


def test_what_is_bad_for_sure_fails_also_when_something_else_is_missing() -> None:
    given = worse(equal(), "errors", 1, add=15)
    missing(given)
    assert judged(given).verdict == FAIL


def test_no_errors_at_all_are_a_result() -> None:
    """Constant zeros of a count are good news where there was traffic."""
    assert judged(worse(worse(equal(), "errors", 0), "found", 1)).verdict == PASS
    given = equal()
    for side in ("baseline", "canary"):
        given["errors"][side] = [[time, 0] for time, _ in given["errors"][side]]
    found = finding(given, "errors")
    assert (found.verdict, found.effect, found.p) == (PASS, 0.0, 1.0)


def earlier(given: Given, minutes: int) -> Given:
    """Move the old version's series, as at the last stage."""
    begin = BEGIN - timedelta(minutes=minutes)
    for pair in given.values():
        pair["baseline"] = [
            [time, value] for time, (_, value) in zip(moments(begin=begin), pair["baseline"], strict=True)
        ]
    return given


def test_at_the_last_stage_the_old_version_is_that_of_before() -> None:
    """Beside a version with all of the traffic there is no other."""
    assert judged(earlier(equal(), 60), 100).verdict == PASS
    assert judged(earlier(worse(equal(), "errors", 1, add=15), 60), 100).verdict == FAIL
    found = judged(earlier(equal(), 5), 100)
    assert found.verdict == INCONCLUSIVE
    assert "of before does not end before the new one begins" in found.why
    assert judged(earlier(equal(), 60), 50).verdict == INCONCLUSIVE, "beside each other they are of the same minutes"


def test_unequal_traffic_makes_no_difference_where_there_is_none() -> None:
    """With a tenth of the requests, most minutes have no error. By ranks of rates, that looks like a better version."""
    effects, plain = [], []
    for seed in range(60):
        given = equal(share=10, seed=seed)
        effects.append(finding(given, "errors", 10).effect)
        rates = [
            [
                error[1] / request[1]
                for error, request in zip(given["errors"][side], given["requests"][side], strict=True)
            ]
            for side in ("canary", "baseline")
        ]
        plain.append(2 * stats.mannwhitneyu(*rates).statistic / len(rates[0]) ** 2 - 1)
    assert abs(np.mean([effect for effect in effects if effect is not None])) < 0.05
    assert np.mean(plain) < -0.3, "the draw is needed"


def test_the_same_series_have_the_same_verdict() -> None:
    given = equal(share=10, seed=3)
    assert judged(given, 10) == judged(given, 10)


def test_the_test_is_that_of_scipy_and_the_effect_that_of_cliff() -> None:
    old, new = [1.0, 2.0, 3.0, 4.0], [2.5, 3.5, 4.5, 5.5]
    pairs = [(a > b) - (a < b) for a in new for b in old]
    effect, p = judging._compare(old, new, higher_is_worse=True)
    assert effect == pytest.approx(sum(pairs) / 16)
    assert p == pytest.approx(stats.mannwhitneyu(new, old, alternative="greater", method="exact").pvalue)
    assert judging._compare(old, new, higher_is_worse=False)[0] == pytest.approx(-effect)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "series must be a mapping"),
        ({"latency": {}}, "latency: no signal of search-api, which has requests, errors"),
        ({"errors": {"baseline": []}}, "errors must have baseline and canary, and nothing else"),
        ({"errors": {"baseline": {}, "canary": []}}, "errors, baseline: it must be a list"),
        ({"errors": {"baseline": [], "canary": [["now", 1]]}}, r"errors, canary: point 1 is \['now', 1\]"),
        ({"errors": {"baseline": [], "canary": [["2026-11-30T10:00:00", 1]]}}, "a time without a zone"),
        ({"errors": {"baseline": [], "canary": [[moments()[0], -1]]}}, "no number that is 0 or more"),
        ({"errors": {"baseline": [], "canary": [[moments()[0], float("nan")]]}}, "no number that is 0 or more"),
        ({"errors": {"baseline": [], "canary": [[moments()[0], "1"]]}}, "no number that is 0 or more"),
        ({"errors": {"baseline": [], "canary": [[moments()[0], 1]] * 2}}, "is there twice"),
        ({"errors": {"baseline": [], "canary": [3]}}, "point 1 is 3"),
    ],
)
def test_series_of_another_form_are_refused(given: Any, said: str) -> None:
    with pytest.raises(BadParams, match=f"{said}.*Nothing was judged"):
        parse(given, SUBJECT)
