"""Judges each answer of ``./dev bench soak``: whether it is right, and whose it is."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks._soak_truth import ENTITIES, EVERYBODY, MEMBERS, Question
from search_api.cache.memory import OVERHEAD_BYTES

CALM = "nothing"
GREEDY = "greedy"
"""The tenant that asks until its limit is reached, again and again."""

LATEST_SECONDS = 6.0
"""The deadline of a request is 5 seconds; one more is for a busy machine."""

OLDEST_SECONDS = 61.0
"""Age that an answer may have without being marked as stale."""


@dataclass
class Scene:
    """What is going on.

    :ivar trouble: name of what is wrong, or ``CALM``
    :ivar may_refuse: whether OpenSearch is not well, so that answers may be 503 or stale
    :ivar newest: by entity, the generation of the newest index that may be live
    :ivar shown: by entity, the newest generation that an answer has shown: nobody may see an older one afterwards
    """

    trouble: str = CALM
    may_refuse: bool = False
    newest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENTITIES, 0))
    shown: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENTITIES, 0))


@dataclass(frozen=True)
class Asked:
    """A request, and how things were when it was sent."""

    question: Question
    whose: str
    trouble: str
    may_refuse: bool
    oldest: int


@dataclass(frozen=True)
class Answer:
    """What came back.

    :ivar body: the JSON value
    :ivar seconds: that it took
    :ivar size: bytes of the body
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float
    size: int = 0

    @property
    def cache(self) -> str:
        """Where the answer came from; empty for problems."""
        return self.headers.get("X-Cache", "")


@dataclass
class Referee:
    """Judges and counts.

    :ivar violations: what was wrong, by what it is; one example of each
    :ivar answers: how many answers of each kind there were, by the trouble
    :ivar slowest: seconds, by the trouble
    :ivar in_peace: number of answers while OpenSearch was well
    :ivar needless: number of these that were refused or stale
    :ivar kept: bytes of the answers that the service was given to keep
    """

    scene: Scene
    violations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    answers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    slowest: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    in_peace: int = 0
    needless: int = 0
    kept: int = 0

    def ask(self, question: Question, whose: str) -> Asked:
        """Return a request that is sent now."""
        scene = self.scene
        return Asked(question, whose, scene.trouble, scene.may_refuse, scene.shown[question.entity])

    def judge(self, asked: Asked, answer: Answer, *, page: bool = False) -> bool:
        """Count an answer, and what is wrong with it. Return whether it is one of status 200 or 404.

        :param page: whether it is a page of a walk, whose documents are judged when all pages are there
        """
        trouble = self.scene.trouble if asked.trouble == CALM else asked.trouble
        self.answers[trouble][f"{answer.status} {answer.cache}".strip()] += 1
        self.slowest[trouble] = max(self.slowest[trouble], answer.seconds)
        if not (asked.may_refuse or self.scene.may_refuse):
            self.in_peace += 1
            self.needless += answer.status == 503 or answer.cache == "stale"
        if answer.cache == "miss":
            self.kept += answer.size + OVERHEAD_BYTES
        if answer.seconds > LATEST_SECONDS:
            self.complain("late", f"{answer.seconds:.1f} s: {asked}")
        if answer.status not in (200, 404):
            self._refusal(asked, answer)
            return False
        self._age(asked, answer)
        self._tenant(asked, answer)
        if not page:
            self._content(asked, answer)
        return True

    def complain(self, what: str, example: str) -> None:
        """Note a violation."""
        self.violations[what] += 1
        self.examples.setdefault(what, example[:1_000])

    def _refusal(self, asked: Asked, answer: Answer) -> None:
        example = f"{answer.status} {answer.body} to {asked}"
        wanted = answer.headers.get("Retry-After", "")
        if answer.status not in (429, 503):
            self.complain(f"status {answer.status}", example)
        elif not (wanted.isdigit() and int(wanted) >= 1):
            self.complain("no Retry-After", example)
        elif answer.status == 429 and asked.whose != GREEDY:
            self.complain("429 for a tenant that keeps its limit", example)

    def _age(self, asked: Asked, answer: Answer) -> None:
        age = int(answer.headers.get("Age", 0))
        if (answer.cache == "miss" and age) or (answer.cache == "hit" and age > OLDEST_SECONDS):
            self.complain("old and not marked as stale", f"{answer.cache}, {age} s: {asked}")

    def _tenant(self, asked: Asked, answer: Answer) -> None:
        if asked.question.entity != MEMBERS.name or asked.whose == EVERYBODY or answer.status != 200:
            return
        found = answer.body.get("hits") or answer.body.get("suggestions") or [answer.body]
        foreign = [one["id"] for one in found if "id" in one and not one["id"].startswith(f"{asked.whose}-")]
        if foreign:
            self.complain("another tenant's document", f"{foreign} in the answer to {asked}")

    def _content(self, asked: Asked, answer: Answer) -> None:
        """Require the right answer of one index: of the newest that anybody had seen, or of a newer one."""
        question, entity = asked.question, asked.question.entity
        told = question.told(answer.status, answer.body)
        generations = range(asked.oldest, self.scene.newest[entity] + 1)
        right = [one for one in generations if question.right(asked.whose, one) == told]
        if right:
            self.scene.shown[entity] = max(self.scene.shown[entity], right[0])
        else:
            older = [one for one in range(asked.oldest) if question.right(asked.whose, one) == told]
            what = "an answer of an index that was replaced" if older else "wrong answer"
            self.complain(what, f"{asked}: {told}, not {question.right(asked.whose, generations[-1])}")
