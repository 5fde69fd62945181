"""Bedrock: a turn of the model, and what the guardrail says of a text. botocore waits, so it waits in threads.

A thread cannot be ended. One whose caller has gone reads on until the next event or the socket's timeout, and keeps its
place until then, so there are never more of them than ``AT_ONCE``.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final, Literal, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from search_api import telemetry
from search_api.agent.budget import Exceeded
from search_api.agent.models import Guardrail, Model
from search_api.agent.turn import Reading, Turn
from search_api.deadline import Deadline
from search_api.failures import FAILURES

AT_ONCE: Final = 16
"""Calls of Bedrock that are under way in this process."""

SOCKET_SECONDS: Final = 20.0
"""Seconds for which Bedrock may be silent within a call."""

_failures = FAILURES.labels("bedrock")

_BUSY: Final = frozenset(
    {"ThrottlingException", "ServiceUnavailableException", "InternalServerException", "ModelNotReadyException"}
)
_FORBIDDEN: Final = frozenset({"AccessDeniedException", "ResourceNotFoundException"})
_REFUSED: Final = frozenset({"ValidationException"})

T = TypeVar("T")
Source = Literal["INPUT", "OUTPUT"]
Code = Literal["model-busy", "model-away", "model-refused-request", "model-not-allowed"]


class ModelFailed(Exception):
    """Bedrock gave no turn.

    :ivar code: why, as the answer says it
    """

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class Bedrock:
    """The model and the guardrail that are asked.

    :param model: the model that is asked
    :param guardrail: that each call names
    :param url: of a stand-in; empty for Bedrock itself
    """

    def __init__(self, model: Model, guardrail: Guardrail, url: str = "") -> None:
        self._model = model
        self._guardrail = guardrail
        self._url = url
        self._threads = ThreadPoolExecutor(AT_ONCE, "bedrock")

    def close(self) -> None:
        """Take no more calls. Those that are under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def turn(self, request: Mapping[str, Any], most: int, deadline: Deadline) -> Turn:
        """Return the model's next turn.

        :param request: messages, system and tools, as ConverseStream takes them
        :param most: bytes that the model may write
        :raises Exceeded: when it writes more than that, or is not done by the deadline
        :raises ModelFailed: when Bedrock gives none
        """
        guarded = {
            "guardrailIdentifier": self._guardrail.id,
            "guardrailVersion": self._guardrail.version,
            "streamProcessingMode": "sync",  # nothing is sent before it is assessed
        }

        def read(gone: threading.Event) -> Turn:
            answer = self._client.converse_stream(
                modelId=self._model.id, guardrailConfig=guarded, **self._model.family.fields, **request
            )
            reading, stream = Reading(most), answer["stream"]
            try:
                for event in stream:
                    if gone.is_set():
                        break
                    reading.add(event)
            finally:
                stream.close()
            return reading.turn()

        return await self._in_thread(read, deadline)

    async def allows(self, source: Source, texts: Iterable[str], deadline: Deadline) -> bool:
        """Return whether the guardrail lets texts pass.

        :param source: whether the model reads them or wrote them
        :raises Exceeded: when it does not answer by the deadline
        :raises ModelFailed: when it does not answer
        """
        content = [{"text": {"text": text}} for text in texts]

        def ask(_: threading.Event) -> bool:
            answer = self._client.apply_guardrail(
                guardrailIdentifier=self._guardrail.id,
                guardrailVersion=self._guardrail.version,
                source=source,
                content=content,
            )
            return bool(answer["action"] == "NONE")

        return await self._in_thread(ask, deadline)

    async def _in_thread(self, do: Callable[[threading.Event], T], deadline: Deadline) -> T:
        gone = threading.Event()
        running = asyncio.get_running_loop().run_in_executor(self._threads, lambda: _typed(lambda: do(gone)))
        try:
            with telemetry.step("bedrock"):
                async with asyncio.timeout(max(0.0, deadline.remaining)):
                    return await running
        except TimeoutError:
            raise Exceeded("seconds") from None
        except ModelFailed:
            _failures.inc()
            raise
        finally:
            gone.set()

    @cached_property
    def _client(self) -> Any:
        config = Config(
            connect_timeout=2,
            read_timeout=SOCKET_SECONDS,
            max_pool_connections=AT_ONCE,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        keys = {"aws_access_key_id": "stand-in", "aws_secret_access_key": "stand-in"}  # it takes any
        stand_in = {"endpoint_url": self._url, "region_name": "eu-west-1", **keys}
        return botocore.session.get_session().create_client(
            "bedrock-runtime", config=config, **(stand_in if self._url else {})
        )


def _typed(do: Callable[[], T]) -> T:
    """Return what a call returns. Raise ModelFailed for each way in which Bedrock, or the way to it, fails."""
    try:
        return do()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = code[:1].upper() + code[1:]  # within a stream, names begin with a small letter
        if kind in _FORBIDDEN or kind in _REFUSED:
            telemetry.log.error("bedrock refused a call", call=error.operation_name, error=kind)
        raise ModelFailed(_code_of(kind)) from None
    except Exceeded:
        raise
    except Exception as error:  # noqa: BLE001 - botocore hands on what has another form, and whatever reads it may raise
        telemetry.log.warning("bedrock gave no answer", error=telemetry.where(error))
        raise ModelFailed("model-away") from None


def _code_of(kind: str) -> Code:
    if kind in _BUSY:
        return "model-busy"
    if kind in _FORBIDDEN:
        return "model-not-allowed"
    return "model-refused-request" if kind in _REFUSED else "model-away"
