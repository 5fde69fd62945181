"""The verdict: pass, fail or inconclusive, of each metric and of all together.

Each metric is compared by the Mann-Whitney U test, one-sided, with Cliff's delta as the size of the effect. The test is
of two equal series. A rate is not, when the old version has nine times the requests: of so many more requests, a minute
without any error is rarer, and a tenth of the requests would look better than it is. So of the larger side as many
requests are drawn, minute by minute, as the smaller side has (hypergeometric, with a fixed seed: the same series have
the same verdict).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy import stats

from searchsync.canary.policy import BESIDE, Metric, Policy, Stage, Subject
from searchsync.canary.series import NotComparable, Series, rows

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"

SEED = 12
"""Of the draw of requests."""

RULE_OF_THREE = 3.0
"""When none of n requests failed, the share that fails is below 3/n with a confidence of 95 % (Hanley and
Lippman-Hand, 1983)."""


@dataclass(frozen=True)
class Finding:
    """What was found of a metric. What could not be computed is None.

    :ivar samples: of each side that could be used
    :ivar baseline: rate, or median of the values, of the old version; so ``canary`` of the new one
    :ivar change: how much worse the new one is, as ``Metric.change``; negative when it is better
    :ivar effect: Cliff's delta, positive when the new one is worse
    :ivar p: of the one-sided test that it is worse; ``level``: below which that is significant
    """

    metric: str
    critical: bool
    verdict: str
    why: str
    level: float
    samples: int = 0
    baseline: float | None = None
    canary: float | None = None
    change: float | None = None
    effect: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdict on a new version at a stage."""

    subject: str
    share: int
    verdict: str
    why: str
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"findings": [asdict(finding) for finding in self.findings]}


def judge(policy: Policy, subject: Subject, stage: Stage, series: Series) -> Judgement:
    """Judge a new version at a stage. Nothing that is missing makes it pass."""
    findings = tuple(_find(policy, subject, metric, stage, series) for metric in subject.metrics)
    verdict, decisive = _together(policy, findings)
    why = "; ".join(f"{finding.metric}: {finding.why}" for finding in decisive)
    return Judgement(subject.name, stage.share, verdict, why or "no metric is worse by what matters", findings)


def _together(policy: Policy, findings: Sequence[Finding]) -> tuple[str, list[Finding]]:
    """Return the verdict of all metrics, and the findings that decided it."""
    failed = [finding for finding in findings if finding.verdict == FAIL]
    if any(finding.critical for finding in failed) or len(failed) >= policy.together:
        return FAIL, failed
    open_ = [finding for finding in findings if finding.verdict != PASS]
    return (INCONCLUSIVE, open_) if open_ else (PASS, [])


def _find(policy: Policy, subject: Subject, metric: Metric, stage: Stage, series: Series) -> Finding:
    level = policy.level(subject)
    try:
        if metric.per is None:
            sides, figures = _values(metric, stage, series, policy.samples)
        else:
            sides, figures = _rates(metric, metric.per, stage, series, policy.samples)
    except NotComparable as error:
        return Finding(metric.name, metric.critical, INCONCLUSIVE, str(error), level)
    effect, p = _compare(*sides, higher_is_worse=metric.higher_is_worse)
    change = figures[2] if metric.higher_is_worse else -figures[2]
    if change < metric.change:
        verdict, why = PASS, "not worse by what matters"
        if metric.per and (away := _away(metric.per, stage, series)):
            verdict, why = INCONCLUSIVE, away
    elif p <= level and effect >= policy.effect:
        verdict, why = FAIL, f"{_shown(metric, figures)}: Cliff's delta {effect:.2f}, p = {p:.1g}"
    else:
        verdict = INCONCLUSIVE
        why = f"{_shown(metric, figures)}, which may be chance: Cliff's delta {effect:.2f}, p = {p:.2g}"
    found = {"baseline": figures[0], "canary": figures[1], "change": change, "effect": effect, "p": p}
    return Finding(metric.name, metric.critical, verdict, why, level, len(sides[0]), **found)


_Sides = tuple[list[float], list[float]]
_Figures = tuple[float, float, float]
"""Of the old version, of the new one, and how much higher the new one is."""


def _values(metric: Metric, stage: Stage, series: Series, samples: int) -> tuple[_Sides, _Figures]:
    """Return the values of each minute in which both sides have one; the change is the Hodges-Lehmann estimate.

    :raises NotComparable: when there are too few, or one side is mostly 0: then it was not measured
    """
    both = [(old[0], new[0]) for old, new in rows(series, (metric.of,), stage) if None not in (old[0], new[0])]
    old, new = [float(pair[0] or 0) for pair in both], [float(pair[1] or 0) for pair in both]
    _check_samples(len(both), samples, "both sides have a value")
    middles = median(old), median(new)
    if not all(middles):
        raise NotComparable("it is mostly 0, so it was not measured")
    shift = float(np.median(np.subtract.outer(new, old)))
    return (old, new), (*middles, shift / middles[0])


def _rates(metric: Metric, per: str, stage: Stage, series: Series, samples: int) -> tuple[_Sides, _Figures]:
    """Return the rate of each minute in which both sides have requests, of as many requests on both sides.

    The change is that of the rates of all requests, before any draw.

    :raises NotComparable: when there are too few minutes or requests, when a minute with requests lacks the other
        count, or when these are no counts of requests and of those that are bad
    """
    found = rows(series, (metric.of, per), stage)
    used = [(old, new) for old, new in found if old[1] and new[1]]
    _check_samples(len(used), samples, f"both sides have {per}")
    sides = [side for both in found for side in both]
    if any(count is not None and count % 1 for side in sides for count in side):
        raise NotComparable(f"{metric.of} and {per} are no counts: they have fractions")
    if any((of or 0) > (every or 0) for of, every in sides):
        raise NotComparable(f"there are more {metric.of} than {per}")
    counts = np.array([[*old, *new] for old, new in used], dtype=float)
    if np.isnan(counts).any():
        missing = int(np.isnan(counts).any(axis=1).sum())
        raise NotComparable(f"{missing} minutes have {per}, and not {metric.of}")
    old_of, old_per, new_of, new_per = counts.astype(int).T
    needed, fewest = RULE_OF_THREE / metric.change, int(min(old_per.sum(), new_per.sum()))
    if fewest < needed:
        raise NotComparable(f"{fewest} {per} are too few to see {metric.change:.1%}; {needed:.0f} can")
    draw, fewer = np.random.default_rng(SEED), np.minimum(old_per, new_per)
    drawn = tuple(
        (draw.hypergeometric(bad, every - bad, fewer) / fewer).tolist()
        for bad, every in ((old_of, old_per), (new_of, new_per))
    )
    old, new = float(old_of.sum() / old_per.sum()), float(new_of.sum() / new_per.sum())
    return (drawn[0], drawn[1]), (old, new, new - old)


def _away(per: str, stage: Stage, series: Series) -> str:
    """Say that the new version has less than half of the traffic that it was given; an empty text when it has not.

    Minutes without requests are left out above. When they are many, the version was away, or its figures were.
    """
    found = rows(series, (per,), stage)
    old, new = (sum(row[side][0] or 0 for row in found) for side in (0, 1))
    if stage.baseline != BESIDE or 200 * new >= stage.share * (old + new):
        return ""
    return f"the new version has {new / (old + new):.1%} of {per}, and was given {stage.share} %"


def _check_samples(there: int, needed: int, what: str) -> None:
    if there < needed:
        raise NotComparable(f"in {there} minutes {what}, and {needed} are needed")


def _compare(old: Sequence[float], new: Sequence[float], *, higher_is_worse: bool) -> tuple[float, float]:
    """Return Cliff's delta (positive: the new one is worse), and p of the one-sided test that it is worse."""
    if len({*old, *new}) == 1:
        return 0.0, 1.0  # the test has no answer when nothing differs
    worse, better = (new, old) if higher_is_worse else (old, new)
    # Exact where it can be; with equal values, the normal approximation with its correction for them.
    method = "asymptotic" if len({*old, *new}) < len(old) + len(new) else "exact"
    found = stats.mannwhitneyu(worse, better, alternative="greater", method=method)
    return float(2 * found.statistic / (len(old) * len(new)) - 1), float(found.pvalue)


def _shown(metric: Metric, figures: _Figures) -> str:
    old, new, _ = figures
    return f"{new:.2%} instead of {old:.2%}" if metric.per else f"{new:,.4g} instead of {old:,.4g}"
