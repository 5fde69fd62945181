"""What the service says about itself: a line of JSON for each request, metrics, and traces of some requests.

Nothing that people typed, no token and no document is logged; a query is named by its hash. A tenant is named in logs
and traces, never in metrics: there would be thousands of series.
"""

import asyncio
import atexit
import logging
import random
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, BinaryIO

import msgspec
import structlog
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Histogram

from search_api.exchange import Exchange
from searchsync.sampling import is_sampled

SERVICE = "search-api"

REQUESTS = Histogram(
    "search_api_request_seconds",
    "Seconds of a request, from its headers to the end of its response",
    ("route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
CACHE = Counter("search_api_cache_answers", "Answers to searches, by where they came from", ("route", "state"))
ASKS = Counter("search_api_asks", "Questions to the agent, by how they ended", ("outcome",))
TOKENS = Counter("search_api_model_tokens", "Tokens that the model has read and written", ("direction",))
PROBLEMS = Counter("search_api_problems", "Problems that were answered, by code", ("route", "code"))

_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_KEPT = 1
"""The flag of a traceparent that says that its trace is kept."""

_PROPAGATOR = TraceContextTextMapPropagator()

outgoing: ContextVar[Mapping[str, str]] = ContextVar("outgoing", default={})  # noqa: B039  # nobody changes it
"""Headers that a request to another service carries while a request is answered: its id, and its place in the trace."""

WAIT_SECONDS = 0.1
"""Seconds that a line of log may wait for others."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
"""Where each module writes its log; the fields are keyword arguments."""


class Tracing:
    """Spans of some requests, sent to a collector.

    :ivar ratio: part of the requests of which a trace is kept when their caller has not decided
    """

    def __init__(self) -> None:
        self.ratio = 0.0
        self._provider: TracerProvider | None = None

    def start(self, processor: SpanProcessor, ratio: float) -> None:
        """Keep traces from now on."""
        self.ratio = ratio
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
        self._provider.add_span_processor(processor)

    def stop(self) -> None:
        """Send what is kept, and keep no more."""
        if self._provider:
            self._provider.shutdown()
        self._provider = None

    def span(self, name: str, kind: SpanKind, parent: Mapping[str, str]) -> Span | None:
        """Return a new span under a parent, which may be empty. Return None when no trace of it is kept."""
        if self._provider is None:
            return None
        traceparent = parent.get("traceparent", "")
        if not (int(traceparent[-2:], 16) & _KEPT if traceparent else random.random() < self.ratio):
            return None
        context = _PROPAGATOR.extract(dict(parent)) if parent else None
        return self._provider.get_tracer(SERVICE).start_span(name, context, kind)


tracing = Tracing()


def otlp(endpoint: str) -> SpanProcessor:
    """Return what sends spans to a collector, many at once, in a thread of its own."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=5))


@contextmanager
def trace(exchange: Exchange) -> Iterator[None]:
    """Let requests to other services carry the request's id and trace; keep a span of it if its trace is kept."""
    carried = {"x-opaque-id": exchange.request_id}
    given = exchange.headers.get(b"traceparent", b"")
    if _TRACEPARENT.fullmatch(given):
        carried["traceparent"] = given.decode()
    span = tracing.span("request", SpanKind.SERVER, {key: carried[key] for key in ("traceparent",) if key in carried})
    if span:
        _PROPAGATOR.inject(carried, otel.set_span_in_context(span))
    token = outgoing.set(carried)
    try:
        yield
    finally:
        outgoing.reset(token)
        if span:
            span.update_name(exchange.route)
            span.set_attributes(
                {
                    "http.route": exchange.route,
                    "http.response.status_code": exchange.status,
                    "tenant.id": exchange.tenant,
                    "request.id": exchange.request_id,
                    "cache": exchange.cache,
                    "error.type": exchange.error,
                }
            )
            span.end()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Keep a span of a request to another service, if the trace of the request is kept.

    Write how long it took, of a tenth of the requests: all lines of level DEBUG of one, or none.
    """
    began, request_id = time.monotonic(), outgoing.get().get("x-opaque-id", "")
    try:
        with _span(name):
            yield
    finally:
        if is_sampled(request_id):
            took = round((time.monotonic() - began) * 1000, 3)
            log.debug("asked", server=name, request_id=request_id, duration_ms=took)


@contextmanager
def _span(name: str) -> Iterator[None]:
    carried = outgoing.get()
    parent = carried.get("traceparent", "")
    span = tracing.span(name, SpanKind.CLIENT, {"traceparent": parent}) if parent else None
    if span is None:
        yield
        return
    inner = dict(carried)
    _PROPAGATOR.inject(inner, otel.set_span_in_context(span))
    token = outgoing.set(inner)
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        raise
    finally:
        outgoing.reset(token)
        span.end()


_durations: dict[tuple[str, int], Any] = {}
_states: dict[tuple[str, str], Any] = {}


def finished(exchange: Exchange, seconds: float) -> None:
    """Count a request that was answered, and log it."""
    route, status = exchange.route, exchange.status
    if (duration := _durations.get((route, status))) is None:
        duration = _durations[route, status] = REQUESTS.labels(route, str(status))
    duration.observe(seconds)
    if exchange.cache != "none":
        if (state := _states.get((route, exchange.cache))) is None:
            state = _states[route, exchange.cache] = CACHE.labels(route, exchange.cache)
        state.inc()
    if exchange.error:
        PROBLEMS.labels(route, exchange.error).inc()
    say = log.info if status < 500 else log.error
    say(
        "request",
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 3),
        tenant_id=exchange.tenant,
        request_id=exchange.request_id,
        cache=exchange.cache,
        query=exchange.query,
        error=exchange.error,
    )


def unexpected(exchange: Exchange, error: Exception) -> None:
    """Log an error that nobody thought of: its type and where it happened, not its text, which may hold a value."""
    log.error("unexpected", request_id=exchange.request_id, tenant_id=exchange.tenant, error=where(error))


def where(error: BaseException) -> str:
    """Return an error's type and the places of its stack, without any value."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places}"


class Lines:
    """Lines of log that are written together, soon after the first of them; an error at once, after those before it.

    To write each for itself would take a sixth of the time of an answer from the cache.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []

    def info(self, line: bytes) -> None:
        """Write a line soon; at once when no event loop runs that could do it later."""
        self._waiting.append(line)
        if len(self._waiting) > 1:
            return
        try:
            asyncio.get_running_loop().call_later(WAIT_SECONDS, self.flush)
        except RuntimeError:
            self.flush()

    debug = warning = info

    def error(self, line: bytes) -> None:
        """Write a line now."""
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._file.write(b"\n".join([*waiting, b""]))
            self._file.flush()


def configure_logging(level: str) -> None:
    """Write all logs to standard output, a line of JSON each: those of this service and those of its libraries."""
    number = logging.getLevelNamesMapping()[level]
    lines = Lines(sys.stdout.buffer)
    atexit.register(lines.flush)
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso", utc=True),
        structlog.processors.EventRenamer("message"),
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if number == logging.INFO else number),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared[:2],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_values,
                shared[2],
                lambda logger, name, event: _render(logger, name, event).decode(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(max(number, logging.INFO))


_Raised = tuple[type[BaseException], BaseException, TracebackType | None]


def _without_values(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raised: _Raised | None = event.pop("exc_info", None)
    if raised:
        event["error"] = where(raised[1])
    return event


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return msgspec.json.encode(event, enc_hook=lambda value: type(value).__name__)
