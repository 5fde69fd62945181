"""What a new version is judged with: ``include/policies/canary.yaml``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import comb
from string import Formatter
from typing import Any

from searchsync.catalog import include_dir
from searchsync.checked_yaml import CheckedYaml
from searchsync.errors import BadParams
from searchsync.telemetry import embedded, metrics

BESIDE, BEFORE = "beside", "before"


@dataclass(frozen=True)
class Metric:
    """What is compared.

    :ivar of: the signal
    :ivar per: the signal that counts what ``of`` is a part of; None when ``of`` is a value of its own
    :ivar higher_is_worse: False when lower is
    :ivar change: the smallest that matters: points of a rate, or a share of the value of before
    :ivar critical: whether it makes a version bad alone
    """

    name: str
    of: str
    per: str | None
    higher_is_worse: bool
    change: float
    critical: bool


@dataclass(frozen=True)
class Signal:
    """A metric of CloudWatch.

    :ivar statistic: such as Sum, or a percentile, such as p95
    :ivar dimensions: with names in braces to be filled in for each side; ``beside``: those that there are in addition
        while two versions share the traffic
    :ivar zero_with: a signal of the same subject. Where it has a figure and this one has none, this one is 0: AWS
        publishes such a count only when there is something to count. None where what is missing is not known
    """

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, str]
    beside: Mapping[str, str] = field(default_factory=dict)
    zero_with: str | None = None

    def names(self) -> set[str]:
        """Return the names that its dimensions have in braces."""
        texts = (*self.dimensions.values(), *self.beside.values())
        return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}


@dataclass(frozen=True)
class Subject:
    """What can be deployed by shares.

    :ivar signals: by name; None for one whose series are given with the question
    """

    name: str
    metrics: tuple[Metric, ...]
    signals: Mapping[str, Signal | None]


@dataclass(frozen=True)
class Stage:
    """A share of the traffic.

    :ivar share: percent that the new version gets
    :ivar baseline: ``beside``: the old version in the same minutes; ``before``: the old version in earlier ones
    """

    share: int
    baseline: str


@dataclass(frozen=True)
class Searches:
    """What a new index is compared by with the live one.

    :ivar queries: that a verdict needs
    :ivar overlap: smallest share of the first hits that both have
    :ivar rank: smallest Kendall's tau of their order
    :ivar slower: how often the live one's time the new one may take
    """

    queries: int
    overlap: float
    rank: float
    slower: float


@dataclass(frozen=True)
class Policy:
    """All of the file.

    :ivar false_alarms: share of the deployments of a good version that may be called bad
    :ivar period_seconds: of a sample
    :ivar samples: of each side that a verdict needs at least
    :ivar effect: Cliff's delta that a difference must have before a version is called bad
    :ivar together: so many metrics that are not critical make a version bad
    """

    false_alarms: float
    period_seconds: int
    samples: int
    effect: float
    together: int
    stages: tuple[Stage, ...]
    searches: Searches
    subjects: Mapping[str, Subject]

    def level(self, subject: Subject) -> float:
        """Return the level of each test, so that all tests of a deployment together have ``false_alarms`` (Bonferroni).

        It holds whether the metrics depend on each other or not.
        """
        return self.false_alarms / (len(subject.metrics) * len(self.stages))

    def subject(self, name: str) -> Subject:
        """Return a subject. Raise ``BadParams``, with those there are, when there is none of that name."""
        if name not in self.subjects:
            raise BadParams(
                f"{name!r} is no subject of canary.yaml; it has {', '.join(self.subjects)}. Nothing was judged"
            )
        return self.subjects[name]

    def stage(self, share: int) -> Stage:
        """Return a stage. Raise ``BadParams``, with those there are, when there is none with that share."""
        found = next((stage for stage in self.stages if stage.share == share), None)
        if found is None:
            shares = ", ".join(str(stage.share) for stage in self.stages)
            raise BadParams(f"{share} is no stage of canary.yaml; it has {shares} (percent). Nothing was judged")
        return found


def policy() -> Policy:
    """Read the policy.

    :raises BadParams: naming file, line and what may stand there
    """
    file = CheckedYaml(include_dir() / "policies" / "canary.yaml", "canary.schema.json")
    file.refuse([*_problems(file)])
    content = file.content
    return Policy(
        **{name: content[name] for name in ("false_alarms", "period_seconds", "samples", "effect", "together")},
        stages=tuple(Stage(**stage) for stage in content["stages"]),
        searches=Searches(**content["searches"]),
        subjects={name: _subject(name, found) for name, found in content["subjects"].items()},
    )


def _subject(name: str, found: Mapping[str, Any]) -> Subject:
    metrics_ = tuple(
        Metric(metric, row["of"], row.get("per"), row["worse"] == "higher", row["change"], row["critical"])
        for metric, row in found["metrics"].items()
    )
    signals = {signal: None if row == "given" else Signal(**row) for signal, row in found["signals"].items()}
    return Subject(name, metrics_, signals)


def _problems(file: CheckedYaml) -> Iterator[tuple[int, str]]:
    """Yield line and problem of what the schema cannot see."""
    content = file.content
    shares = [stage["share"] for stage in content["stages"]]
    if shares != sorted({*shares}):
        yield file.line(["stages"]), f"the shares of the stages must grow, and are {shares}"
    for name, subject in content["subjects"].items():
        for metric, row in subject["metrics"].items():
            for key in ("of", "per"):
                if key in row and row[key] not in subject["signals"]:
                    known = ", ".join(subject["signals"])
                    place = ["subjects", name, "metrics", metric, key]
                    yield file.line(place), f"{row[key]} is no signal of {name}; the signals are {known}"
        for signal, row in subject["signals"].items():
            if row != "given" and row["namespace"] == embedded.NAMESPACE and row["name"] not in metrics.table():
                yield file.line(["subjects", name, "signals", signal]), f"metrics.yaml has no metric {row['name']}"
            if row != "given" and (known := row.get("zero_with")) and not _published(subject["signals"].get(known)):
                place = ["subjects", name, "signals", signal, "zero_with"]
                yield file.line(place), f"{known} must be a signal of CloudWatch that is not zero_with another one"
        yield from _unreachable(file, name, len(subject["metrics"]) * len(shares))


def _published(signal: Any) -> bool:
    """Return whether a signal is one of CloudWatch whose missing figures are not known."""
    return isinstance(signal, Mapping) and "zero_with" not in signal


def _unreachable(file: CheckedYaml, subject: str, tests: int) -> Iterator[tuple[int, str]]:
    """Yield the problem of a policy by which nothing could ever fail.

    Of two sides with n samples each, the smallest p of a one-sided Mann-Whitney test is one of the C(2n, n) orders.
    """
    samples, level = file.content["samples"], file.content["false_alarms"] / tests
    smallest = 1 / comb(2 * samples, samples)
    if smallest > level:
        why = f"({tests} tests at the level of {level:.5f}, the smallest p is {smallest:.5f})"
        text = f"with {samples} samples no difference is significant for {subject} {why}: take more samples"
        yield file.line(["samples"]), text
