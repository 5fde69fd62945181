"""The agent without servers of search: documents on a shelf, and the stand-in for Bedrock that plays a given model."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import msgspec

from local.bedrock_stand_in import Server, StandIn, make_server
from local.bedrock_turns import Fail, Guard, Player, Say, lets_all_pass
from search_api.agent.bedrock import Bedrock
from search_api.agent.budget import Budgets
from search_api.agent.conversation import Conversation
from search_api.agent.instructions import Asked, Earlier
from search_api.agent.models import Guardrail, Model
from search_api.agent.tools import Tools, specifications
from search_api.cache.answers import Cached
from search_api.caller import OneTenant, Scope
from search_api.query.cursor import Cursors
from search_api.query.searchable import Searchable
from search_api.service import Service
from tests.search_requests import LOCATIONS, MEMBERS

MODEL = Model.of("eu.anthropic.claude-haiku-4-5-20251001-v1:0")
GUARDRAIL = Guardrail("standin", "1")
Documents = Mapping[str, Mapping[str, Mapping[str, Any]]]

LISBON = {"location_id": 1, "name": "Lisbon", "country": "PT", "rate": 75.5, "population": 517802}
PORTO = {"location_id": 2, "name": "Porto", "country": "PT", "rate": 62, "population": 249633}
BERTA = {"member_id": "m-1", "tenant_id": "a", "name": "Berta Berg", "city": "Bern", "joined_date": "2024-05-17"}
OTHER = {"member_id": "m-9", "tenant_id": "b", "name": "Otto Other", "city": "Oslo", "email": "otto@other.example"}
FILLED: Documents = {"locations": {"1": LISBON, "2": PORTO}, "members": {"m-1": BERTA, "m-9": OTHER}}


@dataclass
class Shelf:
    """Documents, found by the filters of the real query: each request has to bring them.

    :ivar bodies: the queries that came, decoded
    """

    documents: Documents
    bodies: list[dict[str, Any]] = field(default_factory=list)
    entities: Mapping[str, Searchable] = field(default_factory=lambda: {"locations": LOCATIONS, "members": MEMBERS})
    cursors: Cursors = field(default_factory=lambda: Cursors([b"k" * 32]))
    live: Any = None
    fails: BaseException | None = None

    def __post_init__(self) -> None:
        self.live = self

    def of(self, entity: str) -> str:
        """The index of an entity: here it has the same name."""
        return entity

    async def found(
        self, key: Callable[[str], str], *, index: Callable[[], str], make: Callable[[str], Awaitable[bytes]], **_: Any
    ) -> Cached:
        """The answer, made anew each time."""
        assert key(index())
        return Cached(await make(index()), "miss", 0.0)

    async def ask(self, index: str, body: bytes, *_: Any) -> bytes:
        """What OpenSearch would answer: the documents that pass the filters of tenant and id."""
        if self.fails:
            raise self.fails
        asked = msgspec.json.decode(body)
        self.bodies.append(asked)
        filters = asked["query"]["bool"]["filter"]
        tenants = [one["term"]["tenant_id"]["value"] for one in filters if "tenant_id" in one.get("term", {})]
        ids = [key for one in filters for key in one.get("ids", {}).get("values", ())]
        hits = [
            {"_id": key, "_score": 1.0, "_source": document, "sort": [1]}
            for key, document in self.documents[index].items()
            if all(document.get("tenant_id") == one for one in tenants) and (not ids or key in ids)
        ]
        total = {"value": len(hits), "relation": "eq"}
        found = {"hits": hits[: asked["size"]], "total": total}
        return msgspec.json.encode({"took": 1, "timed_out": False, "_shards": {"failed": 0}, "hits": found})


@contextmanager
def standing_in(play: Player, guard: Guard = lets_all_pass) -> Iterator[tuple[Server, StandIn]]:
    """The stand-in for Bedrock, which plays until the block ends."""
    stand_in = StandIn(play, guard)
    server = make_server(stand_in)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server, stand_in
    finally:
        server.shutdown()
        server.server_close()


@cache
def _shared() -> tuple[StandIn, Bedrock]:
    """One stand-in and its client for all questions of a run: botocore takes a third of a second to make one."""
    stand_in = StandIn(recorded())
    server = make_server(stand_in)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return stand_in, Bedrock(MODEL, GUARDRAIL, server.url)


def recorded(*turns: Say | Fail) -> Player:
    """A model that says these turns, whatever it is told; the last one again and again."""
    left = [*turns]
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def uses(tool: str, **asked: Any) -> Say:
    """A turn that uses one tool."""
    return Say(({"tool": tool, "input": asked},))


def answers(*statements: Mapping[str, Any]) -> Say:
    """A turn that answers."""
    return uses("answer", statements=[*statements])


def states(text: str, *cited: str) -> dict[str, Any]:
    """A statement about documents, each written ``entity/id``."""
    found = [one.partition("/") for one in cited]
    return {"text": text, "documents": [{"entity": entity, "id": key} for entity, _, key in found]}


@dataclass(frozen=True)
class Outcome:
    """What came of a question.

    :ivar events: as they are sent
    :ivar asked: requests to the stand-in
    :ivar queries: that reached the shelf
    """

    events: list[dict[str, Any]]
    asked: list[tuple[str, dict[str, Any]]]
    queries: list[dict[str, Any]]

    @property
    def end(self) -> dict[str, Any]:
        """The last event."""
        return self.events[-1]

    @property
    def texts(self) -> list[str]:
        """The statements that are shown."""
        return [one["text"] for event in self.events if event["event"] == "answer" for one in event["statements"]]

    @property
    def turns(self) -> list[dict[str, Any]]:
        """Requests for a turn."""
        return [asked for name, asked in self.asked if name == "ConverseStream"]


def ask(
    question: str,
    play: Player,
    *,
    history: Sequence[tuple[str, str]] = (),
    shelf: Shelf | None = None,
    guard: Guard = lets_all_pass,
    scope: Scope = OneTenant("a"),  # noqa: B008  # it is frozen
    **budgets: Any,
) -> Outcome:
    """Ask the agent, as a user of tenant ``a`` unless told otherwise."""
    shelf = shelf or Shelf(FILLED)
    stand_in, bedrock = _shared()
    stand_in.play, stand_in.guard, stand_in.requests = play, guard, []
    conversation = Conversation(
        Asked(question, tuple(Earlier(*one) for one in history)),
        scope.id if isinstance(scope, OneTenant) else "*",
        bedrock=bedrock,
        specifications=specifications(shelf.entities.values()),
        tools=Tools(cast(Service, shelf), scope),
        budgets=Budgets(**budgets),
    )

    async def run() -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            return [msgspec.to_builtins(event) async for event in conversation.events()]

    return Outcome(asyncio.run(run()), stand_in.requests, shelf.bodies)
