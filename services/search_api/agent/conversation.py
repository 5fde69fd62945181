"""The loop: the model asks for tools, gets what they find, and answers; each answer is checked before it is shown."""

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import msgspec

from search_api import telemetry
from search_api.agent.bedrock import Bedrock, ModelFailed, Source
from search_api.agent.budget import Budgets, Exceeded, Name, Spent
from search_api.agent.checks import Verdict, judge
from search_api.agent.events import Answer, End, Event, Step, ending, known, presentable, said
from search_api.agent.evidence import Evidence
from search_api.agent.instructions import MOST_TOKENS, SYSTEM, Asked, correction
from search_api.agent.tools import ANSWER, JSON, Result, Tools, names_of
from search_api.agent.turn import Call, Turn

_BLOCKED: Final = ("guardrail_intervened", "content_filtered")
_TOO_LONG: Final[Mapping[str, Name]] = {
    "max_tokens": "answer_bytes",
    "model_context_window_exceeded": "context",
}
_NO_MORE: Final = Result({"error": f"No more tools may be used. Call {ANSWER} now."}, problem="budget")


class Blocked(Exception):
    """The guardrail lets something not pass."""


class Conversation:
    """One question on its way to its answer.

    :param tenant: of the verified token
    :param specifications: the tools as Converse takes them
    :param tools: they fill ``evidence``
    """

    def __init__(
        self, asked: Asked, tenant: str, *, bedrock: Bedrock, specifications: list[JSON], tools: Tools, budgets: Budgets
    ) -> None:
        self._asked = asked
        self._tenant = tenant
        self._bedrock = bedrock
        self._specifications = specifications
        self._names = frozenset(names_of(specifications))
        self._tools = tools
        self._spent = Spent(budgets)
        self._messages: list[JSON] = [{"role": "user", "content": [{"text": asked.message}]}]
        self._limited_by: Name | None = None
        self._corrected = False

    @property
    def _evidence(self) -> Evidence:
        return self._tools.evidence

    async def events(self) -> AsyncGenerator[Event]:
        """Yield what happens; the last event is the end."""
        limited_by, code = None, ""
        try:
            async with aclosing(self._steps()) as steps:
                async for event in steps:
                    yield event
            return
        except Blocked:
            yield ending("blocked", self._spent)
            return
        except Exceeded as exceeded:
            limited_by = exceeded.budget
        except ModelFailed as failed:
            code = failed.code
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream has its end and the log the cause
            telemetry.log.error("a question failed", error=telemetry.where(error))
            code = "internal-error"
        for what in self._known():
            yield what
        yield ending("limited" if limited_by else "failed", self._spent, limited_by=limited_by, code=code)

    async def _steps(self) -> AsyncGenerator[Event]:
        await self._require_allowed("INPUT", self._asked.texts)
        while True:
            turn = await self._turn()
            answer = next((call for call in turn.calls if call.name == ANSWER), None)
            if answer:
                verdict = judge(answer.input, self._evidence, self._asked.question, self._tenant)
                if verdict.refused and not self._corrected and not self._limited_by:
                    self._corrected = True
                    told = Result({"error": correction(verdict.refused)}, problem="refused")
                    self._reply(turn, {call.id: told for call in turn.calls})
                    continue
                for event in await self._finish(verdict):
                    yield event
                return
            if not turn.calls:
                for what in self._known():
                    yield what
                yield ending("unanswered", self._spent, limited_by=self._limited_by)
                return
            results = {}
            for call in turn.calls:
                step, results[call.id] = await self._use(call)
                yield step
            self._reply(turn, results)

    async def _turn(self) -> Turn:
        """Return the model's next turn. In the last one, and when no tool may be used any more, it has to answer."""
        if self._spent.begin_turn():
            self._limited_by = self._limited_by or "turns"
        choice: JSON = {"tool": {"name": ANSWER}} if self._limited_by else {"any": {}}
        request = {
            "system": [{"text": SYSTEM}],
            "messages": self._messages,
            "toolConfig": {"tools": self._specifications, "toolChoice": choice},
            "inferenceConfig": {"maxTokens": MOST_TOKENS},
        }
        turn = await self._bedrock.turn(request, self._spent.budgets.answer_bytes, self._spent.deadline)
        self._spent.count(turn.input_tokens, turn.output_tokens)
        if turn.stop in _BLOCKED:
            raise Blocked
        if turn.stop in _TOO_LONG:
            raise Exceeded(_TOO_LONG[turn.stop])
        return turn

    async def _use(self, call: Call) -> tuple[Step, Result]:
        began = time.monotonic()
        if self._spent.take_tool_call():
            result = await self._assessed(await self._tools.use(call, self._spent.deadline))
            self._evidence.add(result.seen, result.searched)
        else:
            self._limited_by = self._limited_by or "tool_calls"
            result = _NO_MORE
        step = Step(
            turn=self._spent.turns,
            tool=call.name if call.name in self._names else "unknown",
            asked=presentable(call.input or {}, self._evidence, self._asked.question, self._names),
            found=result.found,
            returned=len(result.seen),
            problem=result.problem,
            milliseconds=round((time.monotonic() - began) * 1000),
        )
        return step, result

    async def _assessed(self, result: Result) -> Result:
        """Return what a tool found without the documents that the guardrail does not let pass.

        Within ConverseStream it assesses neither what tools return nor what the model asks of them.
        """
        if not result.seen or await self._is_allowed("INPUT", [_written(result.shown)]):
            return result
        kept = [one for one in result.seen if await self._is_allowed("INPUT", [_written([one.shown])])]
        told = {**result.told, "documents_withheld_by_the_guardrail": len(result.seen) - len(kept)}
        return replace(result, told=told, seen=tuple(kept))

    def _reply(self, turn: Turn, results: Mapping[str, Result]) -> None:
        """Add a turn and the results of its tools to the messages."""
        uses = [{"toolUse": {"toolUseId": one.id, "name": one.name, "input": one.input or {}}} for one in turn.calls]
        told = []
        for key, result in results.items():
            status = "error" if result.problem else "success"
            told.append({"toolResult": {"toolUseId": key, "content": [{"json": result.content}], "status": status}})
        self._messages += [{"role": "assistant", "content": uses}, {"role": "user", "content": told}]

    async def _finish(self, verdict: Verdict) -> list[Event]:
        """Return the statements that passed, and the end."""
        texts = [statement.text for statement in verdict.shown if statement.text]
        if texts:
            await self._require_allowed("OUTPUT", texts)
        question = self._asked.question
        answer = Answer("model", [said(one, self._evidence, question) for one in verdict.shown])
        return [*([answer] if verdict.shown else self._known()), self._end(verdict)]

    def _known(self) -> list[Answer]:
        """Return what is known without the model, if anything is."""
        there = self._evidence.searches or self._evidence.documents
        return [known(self._evidence, self._asked.question)] if there else []

    def _end(self, verdict: Verdict) -> End:
        if self._limited_by:
            return ending("limited", self._spent, limited_by=self._limited_by, withheld=verdict.refused)
        if verdict.shown:
            return ending("answered", self._spent, withheld=verdict.refused)
        return ending("withheld" if verdict.refused else "nothing", self._spent, withheld=verdict.refused)

    async def _require_allowed(self, source: Source, texts: Iterable[str]) -> None:
        if not await self._is_allowed(source, texts):
            raise Blocked

    async def _is_allowed(self, source: Source, texts: Iterable[str]) -> bool:
        return await self._bedrock.allows(source, texts, self._spent.deadline)


def _written(documents: Iterable[Mapping[str, Any]]) -> str:
    return msgspec.json.encode([*documents]).decode()
