"""The judge of ``./dev bench soak``: one who overlooks a wrong answer would call any service right."""

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from benchmarks._soak_load import LIMIT, Load
from benchmarks._soak_referee import GREEDY, Answer, Asked, Referee, Scene
from benchmarks._soak_truth import (
    EVERYBODY,
    LOCATIONS,
    MEMBERS,
    TENANTS,
    Question,
    Walk,
    documents,
    kilometres,
    paged,
    questions,
)
from benchmarks.soak import _leaked
from search_api.cache.answers import MEMORY_BYTES

ALL_OF_ACME = next(one for one in questions() if one.entity == MEMBERS.name and one.order == "name" and one.limit == 10)
ONE_OF_GLOBEX = next(one for one in questions() if one.key.startswith("globex"))


def body_of(question: Question, whose: str, generation: int) -> Any:
    """A right body, as the service makes it."""
    status, told = question.right(whose, generation)
    if question.key:
        return {"id": told[0][0], "document": told[0][1]} if status == 200 else {"code": "not-found"}
    total, hits, facets = told
    return {
        "total": {"value": total, "relation": "eq"},
        "hits": [{"id": key, "document": one} for key, one in hits],
        "facets": {name: [{"value": v, "count": n} for v, n in counts.items()] for name, counts in facets.items()},
    }


def judged(question: Question, whose: str, *, oldest: int = 1, **changes: Any) -> set[str]:
    """What the referee says of a right answer with changes."""
    referee = Referee(Scene())
    referee.scene.newest[question.entity] = 2
    status = question.right(whose, 2)[0]
    headers = {"X-Cache": "hit", "Age": "3"} if status == 200 else {}
    right = Answer(status, headers, body_of(question, whose, 2), 0.1)
    referee.judge(Asked(question, whose, "nothing", False, oldest), replace(right, **changes))
    return set(referee.violations)


@pytest.mark.parametrize("whose", [*TENANTS, EVERYBODY])
@pytest.mark.parametrize("question", [ALL_OF_ACME, ONE_OF_GLOBEX])
def test_a_right_answer_is_right(question: Question, whose: str) -> None:
    assert judged(question, whose) == set()


def test_what_is_wrong_is_noticed() -> None:
    right = body_of(ALL_OF_ACME, "acme", 2)
    foreign = {**right, "hits": body_of(ALL_OF_ACME, "globex", 2)["hits"]}
    less = {**right, "hits": right["hits"][1:]}
    turned = {**right, "hits": right["hits"][::-1]}
    miscounted = {**right, "facets": {**right["facets"], "status": [{"value": "active", "count": 1}]}}
    of_two = {**right, "hits": body_of(ALL_OF_ACME, "acme", 1)["hits"]}
    for body in (less, turned, miscounted, of_two):
        assert judged(ALL_OF_ACME, "acme", body=body) == {"wrong answer"}
    assert "another tenant's document" in judged(ALL_OF_ACME, "acme", body=foreign)
    shown = {"status": 200, "headers": {}, "body": body_of(ONE_OF_GLOBEX, "globex", 2)}
    assert "another tenant's document" in judged(ONE_OF_GLOBEX, "acme", **shown)
    old = body_of(ALL_OF_ACME, "acme", 1)
    assert judged(ALL_OF_ACME, "acme", body=old) == set(), "nobody had seen a newer one"
    assert judged(ALL_OF_ACME, "acme", oldest=2, body=old) == {"an answer of an index that was replaced"}


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (500, {"Retry-After": "1"}, {"status 500"}),
        (504, {"Retry-After": "1"}, {"status 504"}),
        (400, {}, {"status 400"}),
        (503, {}, {"no Retry-After"}),
        (503, {"Retry-After": "0"}, {"no Retry-After"}),
        (503, {"Retry-After": "30"}, set()),
        (429, {"Retry-After": "30"}, {"429 for a tenant that keeps its limit"}),
        (200, {"X-Cache": "hit", "Age": "90"}, {"old and not marked as stale"}),
        (200, {"X-Cache": "miss", "Age": "2"}, {"old and not marked as stale"}),
        (200, {"X-Cache": "stale", "Age": "90"}, set()),
    ],
)
def test_refusals_and_age(status: int, headers: dict[str, str], said: set[str]) -> None:
    assert judged(ALL_OF_ACME, "acme", status=status, headers=headers) == said


def test_whoever_passes_the_limit_may_be_told_so_and_a_late_answer_may_not_come() -> None:
    referee = Referee(Scene())
    asked = referee.ask(ALL_OF_ACME, GREEDY)
    referee.judge(asked, Answer(429, {"Retry-After": "7"}, None, 0.1))
    assert not referee.violations
    assert judged(ALL_OF_ACME, "acme", seconds=7.0) == {"late"}


def test_what_is_refused_or_stale_in_peace_is_counted_and_nothing_else() -> None:
    right = body_of(ALL_OF_ACME, "acme", 0)
    refused, stale, kept = (
        Answer(503, {"Retry-After": "1"}, None, 0.1),
        Answer(200, {"X-Cache": "stale", "Age": "90"}, right, 0.1),
        Answer(200, {"X-Cache": "hit", "Age": "9"}, right, 0.1),
    )
    for before, after, counted in ((False, False, (3, 2)), (True, False, (0, 0)), (False, True, (0, 0))):
        referee = Referee(Scene(may_refuse=before))
        asked = referee.ask(ALL_OF_ACME, "acme")
        referee.scene.may_refuse = after
        for answer in (refused, stale, kept):
            referee.judge(asked, answer)
        assert (referee.in_peace, referee.needless) == counted


def test_what_was_shown_once_is_the_oldest_that_may_be_shown_from_then_on() -> None:
    referee = Referee(Scene())
    referee.scene.newest[MEMBERS.name] = 2
    for generation in (1, 2, 1):
        answer = Answer(200, {"X-Cache": "hit"}, body_of(ALL_OF_ACME, "acme", generation), 0.1)
        referee.judge(referee.ask(ALL_OF_ACME, "acme"), answer)
    assert set(referee.violations) == {"an answer of an index that was replaced"}


@pytest.mark.parametrize(
    ("count", "disturbed", "passed"),
    [(LIMIT, set(), False), (2 * LIMIT, set(), True), (2 * LIMIT, {6}, False), (2 * LIMIT, {5}, True)],
)
def test_a_limit_that_was_passed_is_noticed_unless_redis_had_forgotten_it(
    count: int, disturbed: set[int], passed: bool
) -> None:
    load = Load("", {}, [], Referee(Scene()), random.Random(1), Counter({7: count}), disturbed)
    load._count_greed()
    assert bool(load.referee.violations) == passed


@pytest.mark.parametrize(("kept", "leaked"), [(0, 50.0), (20_000_000, 30.0), (10**9, 50.0 - MEMORY_BYTES / 1e6)])
def test_memory_beyond_the_answers_that_are_kept_has_leaked(kept: int, leaked: float) -> None:
    memory = [(10**9, 0), *[(100_000_000, 5)] * 3, (150_000_000, 5 + kept)]
    assert _leaked(memory) == pytest.approx(leaked)


def test_pages_have_each_document_once() -> None:
    question = paged()[0]
    ids = [*question.seen("acme", 1)]
    assert Walk(question, "acme", 1, ids).complaints(1) == []
    assert Walk(question, "acme", 1, [*ids, ids[0]]).complaints(1) == ["pages: 1 documents twice"]
    assert Walk(question, "acme", 1, ids[1:]).complaints(1) == ["pages: 1 documents left out"]
    assert Walk(question, "acme", 1, [*ids, "globex-1"]).complaints(1) == ["pages: 1 documents not to be seen"]
    gone = [key for key in ids if key not in documents(MEMBERS.name, 2)]
    assert gone
    assert Walk(question, "acme", 1, [key for key in ids if key not in gone]).complaints(2) == []


def test_each_question_has_one_right_answer() -> None:
    """Distances that are nearly equal, or nearly the radius, could be right both ways."""
    for question in questions():
        assert question.seen(EVERYBODY, 1) or question.key
        if question.near:
            places = documents(LOCATIONS.name, 1).values()
            far = sorted(kilometres(question.near, one["coordinates"]) for one in places)
            assert min(abs(one - question.near[2]) for one in far) > 0.1
            assert min(abs(a - b) for a, b in combinations([one for one in far if one < 400], 2)) > 0.1
