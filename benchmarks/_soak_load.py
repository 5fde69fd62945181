"""The callers of ``./dev bench soak``: people of several tenants, readers of page after page, and two who must not."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from benchmarks._soak_referee import GREEDY, Answer, Referee
from benchmarks._soak_truth import EVERYBODY, LOCATIONS, TENANTS, Question, Walk, paged, questions

PEOPLE = 4
"""Callers of each tenant, and as many who see all tenants."""

THINKING_SECONDS = 0.4
RARE = 0.5
"""Part of the searches that have a limit of their own: few answers of these are kept."""

MOST_OF_RARE = 15
"""Hits of such a search, at most: all that is kept is small, so that a leak of memory would be seen."""

LIMIT = 1_500
"""Requests of a tenant in a minute: people stay well below it."""

SLACK = 1.02
"""An answer is counted in the minute in which it comes, not in that in which the service let it through."""


@dataclass
class Load:
    """All callers of one service.

    :ivar let_through: how many requests of the greedy tenant were, by minute
    :ivar disturbed: minutes in which Redis was away: it forgot what it had counted
    """

    url: str
    tokens: dict[str, str]
    refused_tokens: list[str]
    referee: Referee
    chance: random.Random
    let_through: Counter[int] = field(default_factory=Counter)
    disturbed: set[int] = field(default_factory=set)
    walks: int = 0
    _stopped: bool = False

    async def run(self) -> None:
        """Ask until ``stop`` is called."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as self._http, asyncio.TaskGroup() as group:
            for whose in (*TENANTS, EVERYBODY):
                for _ in range(PEOPLE):
                    group.create_task(self._person(whose))
            for question in paged():
                group.create_task(self._reader(question))
            group.create_task(self._greedy())
            group.create_task(self._stranger())
        self._count_greed()

    def stop(self) -> None:
        """Let all callers end."""
        self._stopped = True

    async def fresh(self, whose: str) -> bool:
        """Ask what nobody has asked yet. Return whether OpenSearch has answered."""
        word = "".join(self.chance.choices("qxz", k=30))
        answer = await self._get(f"/v1/{LOCATIONS.name}/search", [("q", word)], self.tokens[whose])
        return answer.status == 200 and answer.cache == "miss"

    async def ready(self) -> dict[str, str]:
        """Return the state of each dependency."""
        dependencies: dict[str, str] = (await self._get("/ready", [], "")).body["dependencies"]
        return dependencies

    async def _person(self, whose: str) -> None:
        """Ask what many ask, and sometimes what few do."""
        asked = questions()
        self.chance.shuffle(asked)
        while not self._stopped:
            question = asked[min(int(self.chance.paretovariate(0.7)) - 1, len(asked) - 1)]
            if self.chance.random() < RARE:
                question = question.shortened(self.chance.randrange(1, MOST_OF_RARE + 1))
            await self._ask(question, whose)
            await asyncio.sleep(self.chance.expovariate(1 / THINKING_SECONDS))

    async def _reader(self, question: Question) -> None:
        while not self._stopped:
            whose = self.chance.choice((*TENANTS, EVERYBODY))
            walk = Walk(question, whose, self.referee.scene.shown[question.entity])
            if await self._read(walk):
                self.walks += 1
                for what in walk.complaints(self.referee.scene.newest[question.entity]):
                    self.referee.complain(what, f"{whose}: {question}: {walk.ids}")

    async def _read(self, walk: Walk) -> bool:
        """Follow the cursors, and ask for a page again that was refused. Return whether the last page is there."""
        cursor = None
        while not self._stopped:
            asked = self.referee.ask(walk.question, walk.whose)
            pairs = [*walk.question.parameters, *([("cursor", cursor)] if cursor else [])]
            answer = await self._get(_path(walk.question), pairs, self.tokens[walk.whose])
            if self.referee.judge(asked, answer, page=True):
                walk.ids += [hit["id"] for hit in answer.body["hits"]]
                cursor = answer.body["next_cursor"]
                if cursor is None:
                    return True
            await asyncio.sleep(self.chance.expovariate(1 / THINKING_SECONDS))
        return False

    async def _greedy(self) -> None:
        question = next(one for one in questions() if one.near)
        while not self._stopped:
            answer = await self._ask(question, GREEDY)
            if answer.status == 429:
                await asyncio.sleep(min(5, int(answer.headers["Retry-After"])))
                continue
            self.let_through[_minute()] += 1
            if self.referee.scene.trouble.startswith("Redis"):
                self.disturbed.add(_minute())

    async def _stranger(self) -> None:
        """Ask with tokens that are none: whatever is away, this is no reason to answer."""
        while not self._stopped:
            answer = await self._get(_path(questions()[0]), [], self.chance.choice(self.refused_tokens))
            self.referee.answers[self.referee.scene.trouble][f"{answer.status}"] += 1
            if answer.status != 401:
                self.referee.complain("a token that is none was not refused", f"{answer.status} {answer.body}")
            await asyncio.sleep(1)

    def _count_greed(self) -> None:
        for minute, count in self.let_through.items():
            if count > LIMIT * SLACK and not {minute, minute - 1} & self.disturbed:
                self.referee.complain("a limit was passed", f"{count} requests in a minute, not {LIMIT}")

    async def _ask(self, question: Question, whose: str) -> Answer:
        asked = self.referee.ask(question, whose)
        answer = await self._get(_path(question), list(question.parameters), self.tokens[whose])
        self.referee.judge(asked, answer)
        return answer

    async def _get(self, path: str, pairs: list[tuple[str, str]], token: str) -> Answer:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._http.get(self.url + path, params=pairs, headers=headers) as response:
                raw = await response.read()
                took, body = time.monotonic() - began, json.loads(raw)
                return Answer(response.status, response.headers, body, took, len(raw))
        except (aiohttp.ClientError, json.JSONDecodeError) as error:
            self.referee.complain(f"no answer: {type(error).__name__}", f"{path} {pairs}: {error}")
            return Answer(0, {}, None, time.monotonic() - began)


def _path(question: Question) -> str:
    return f"/v1/{question.entity}/{question.path}"


def _minute() -> int:
    return int(time.time() // 60)
