"""Logs, metrics and traces: without them nobody finds a cause; with a value too many they show what is none's."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from starlette.types import Receive, Scope, Send

from search_api import telemetry
from search_api.edge import Edge
from search_api.exchange import Exchange
from searchsync.sampling import is_sampled
from tests.unit.search_api.asgi import call

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TYPED = "a-name-that-nobody-should-log"
carried: list[dict[str, str]] = []


async def app(scope: Scope, _: Receive, send: Send) -> None:
    exchange = Exchange.of(scope)
    exchange.route, exchange.tenant, exchange.cache = "places.search", "tenant-4711", "hit"
    with telemetry.step("opensearch"):
        carried.append(dict(telemetry.outgoing.get()))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture(autouse=True)
def nothing_carried() -> None:
    carried.clear()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    telemetry.tracing.start(SimpleSpanProcessor(exporter), ratio=0.0)
    yield exporter
    telemetry.tracing.stop()


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test configures is as before afterwards, and what another one configured for a server is not there."""
    root = logging.getLogger()
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    before = root.handlers, root.level
    configured = structlog.get_config() if structlog.is_configured() else None  # by Airflow, for its tasks
    monkeypatch.setattr(telemetry, "log", structlog.get_logger())
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()
    if configured:
        structlog.configure(**configured)


def test_a_request_is_a_line_of_json_without_what_was_typed(
    own_logging: None, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The fields are those that alarms and dashboards read."""
    telemetry.configure_logging("INFO")
    call(Edge(app), f"/v1/places/search?q={TYPED}", headers=[("authorization", f"Bearer {TYPED}")])
    telemetry.log.error("an error is written at once, with what waits")
    lines = capsysbinary.readouterr().out.splitlines()
    line = json.loads(lines[-2])
    assert line | {"timestamp": "", "duration_ms": 0.0, "request_id": ""} == {
        "timestamp": "",
        "level": "info",
        "message": "request",
        "route": "places.search",
        "status": 200,
        "duration_ms": 0.0,
        "tenant_id": "tenant-4711",
        "request_id": "",
        "cache": "hit",
        "query": "",
        "error": "",
    }
    assert line["timestamp"].endswith("Z")
    assert line["duration_ms"] > 0
    assert TYPED.encode() not in b"".join(lines)


def test_details_of_a_tenth_of_the_requests_are_written(
    own_logging: None, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Of those, each line; of the others none: half a request explains nothing, and all of all is too much."""
    telemetry.configure_logging("INFO")
    ids = [f"request-{number:04}" for number in range(1_000)]
    for request_id in ids:
        call(Edge(app), headers=[("x-request-id", request_id)])
    telemetry.log.error("an error is written at once, with what waits")
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    detailed = [line["request_id"] for line in lines if line["level"] == "debug"]
    assert detailed == [request_id for request_id in ids if is_sampled(request_id)]
    assert 70 < len(detailed) < 130
    assert all(line["duration_ms"] >= 0 for line in lines if line["level"] == "debug")


def test_an_error_of_a_library_is_logged_without_its_text(
    own_logging: None, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    telemetry.configure_logging("INFO")
    try:
        raise LookupError(TYPED)
    except LookupError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    line = json.loads(capsysbinary.readouterr().out.splitlines()[-1])
    assert line["error"].startswith("LookupError at test_telemetry.py")
    assert TYPED not in str(line)


def test_libraries_write_no_details_at_any_level(own_logging: None, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Those of AWS' client are whole requests: questions to the agent, and the documents that it found."""
    telemetry.configure_logging("DEBUG")
    logging.getLogger("botocore.endpoint").debug("Making request with body %s", TYPED)
    logging.getLogger("botocore.parsers").info("Response body %s", TYPED)
    assert TYPED.encode() not in capsysbinary.readouterr().out


def test_lines_of_log_are_written_together_and_an_error_at_once() -> None:
    """What happened before a crash must be there, and in order."""
    written = io.BytesIO()
    lines = telemetry.Lines(written)
    lines.info(b"before any loop runs")
    assert written.getvalue() == b"before any loop runs\n"

    async def serve() -> None:
        lines.info(b"1")
        lines.warning(b"2")
        assert written.getvalue().endswith(b"runs\n")
        lines.error(b"3")
        assert written.getvalue().endswith(b"runs\n1\n2\n3\n")
        lines.info(b"4")
        await asyncio.sleep(telemetry.WAIT_SECONDS * 2)
        assert written.getvalue().endswith(b"\n3\n4\n")
        lines.info(b"5")

    asyncio.run(serve())
    lines.flush()
    assert written.getvalue().endswith(b"\n4\n5\n")


def test_no_series_of_metrics_names_a_tenant() -> None:
    """A thousand tenants are a thousand series of each metric, and each is paid for."""
    call(Edge(app))
    shown = generate_latest().decode()
    assert 'search_api_request_seconds_count{route="places.search",status="200"}' in shown
    assert 'search_api_cache_answers_total{route="places.search",state="hit"}' in shown
    assert "tenant-4711" not in shown


def test_the_id_and_the_trace_go_on_to_other_services() -> None:
    call(Edge(app), headers=[("traceparent", PARENT), ("x-request-id", "checkout-4711")])
    assert carried == [{"x-opaque-id": "checkout-4711", "traceparent": PARENT}]


@pytest.mark.parametrize("given", ["00-" + "0" * 32 + "-b7ad6b7169203331-01", PARENT.upper(), PARENT + "\n", "x" * 55])
def test_a_trace_that_is_none_is_not_carried_on(given: str) -> None:
    call(Edge(app), headers=[("traceparent", given)])
    assert "traceparent" not in carried[0]


def test_a_trace_that_the_caller_keeps_is_kept(spans: InMemorySpanExporter) -> None:
    """The span of the search engine lies in that of the request, and that in the caller's."""
    call(Edge(app), headers=[("traceparent", PARENT)])
    inner, outer = spans.get_finished_spans()
    assert (outer.name, inner.name) == ("places.search", "opensearch")
    assert outer.parent is not None
    assert inner.parent is not None
    assert f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    assert inner.parent.span_id == outer.context.span_id
    assert carried[0]["traceparent"] == f"00-0af7651916cd43dd8448eb211c80319c-{inner.context.span_id:016x}-01"
    assert dict(outer.attributes or {})["tenant.id"] == "tenant-4711"


def test_a_trace_that_the_caller_does_not_keep_is_not_kept(spans: InMemorySpanExporter) -> None:
    telemetry.tracing.ratio = 1.0
    call(Edge(app), headers=[("traceparent", PARENT[:-1] + "0")])
    assert spans.get_finished_spans() == ()
    call(Edge(app))
    assert len(spans.get_finished_spans()) == 2
