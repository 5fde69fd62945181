"""Spans of what takes time, by OpenTelemetry, where somebody keeps traces: in Airflow's tasks, and in the function.

Airflow keeps a span of each run and task, of a tenth of all runs. The function keeps one of a tenth of its invocations.
What the library asks OpenSearch meanwhile becomes a child of it. Everywhere else, and of all others, nothing is kept.
"""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from searchsync.sampling import is_sampled

log = logging.getLogger(__name__)

COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own variable with the address of a collector (OTLP over HTTP), such as ``http://127.0.0.1:4318``."""

EXPORT_SECONDS = 1.0
"""Seconds that an invocation may wait for the collector to take its spans."""

Attributes = Mapping[str, Any]
"""Texts and numbers, or lists of them, by names of OpenTelemetry's conventions where there is one."""


@contextmanager
def request(method: str, path: str) -> Iterator[None]:
    """Keep a span of a request to OpenSearch, if a trace is kept here, by OpenTelemetry's conventions for databases.

    :param path: of its URL; an index comes first in it, if there is one
    """
    # Who keeps traces has imported it. To import it for nothing would cost each cold start of the function. While
    # another thread imports it, it is there, but not whole: use_span is the last of it.
    api: Any = sys.modules.get("opentelemetry.trace")
    if not hasattr(api, "use_span") or not api.get_current_span().is_recording():
        yield
        return
    parts = path.partition("?")[0].strip("/").split("/")
    operation = next((part for part in parts if part.startswith("_")), method)
    attributes = {"db.system.name": "opensearch", "db.operation.name": operation, "http.request.method": method}
    if parts[0] and not parts[0].startswith("_"):
        attributes["db.collection.name"] = parts[0]
    with _kept(api.get_tracer("searchsync"), f"opensearch {operation}", api.SpanKind.CLIENT, attributes):
        yield


@contextmanager
def invocation(identity: str, name: str, attributes: Attributes) -> Iterator[Any]:
    """Keep the trace of an invocation of a function, if its id is sampled and ``COLLECTOR`` names a collector.

    The spans are sent at the end: a function stands still between two invocations. A collector that is away or late
    costs ``EXPORT_SECONDS``, and the trace. Nothing is raised for it.

    :returns: OpenTelemetry's span; None when no trace is kept
    """
    provider = _provider(name) if os.environ.get(COLLECTOR) and is_sampled(identity) else None
    if provider is None:
        yield None
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    try:
        with _kept(provider.get_tracer("searchsync"), name, SpanKind.CONSUMER, attributes) as on:
            yield on
    finally:
        provider.force_flush()


@contextmanager
def _kept(tracer: Any, name: str, kind: Any, attributes: Attributes) -> Iterator[Any]:
    """Keep a span; of an error its type, not its text, which may hold a document."""
    options = {"kind": kind, "attributes": attributes, "record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(name, **options) as on:
        try:
            yield on
        except BaseException as error:
            on.set_attribute("error.type", type(error).__name__)
            raise


@cache
def _provider(name: str) -> Any:
    """Let this process keep spans, and return what sends them; None when that is not there, and the log says why."""
    try:
        # nine of ten invocations do without it
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        provider = TracerProvider(ALWAYS_ON, Resource.create({"service.name": name}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
        trace.set_tracer_provider(provider)
    except Exception as error:  # noqa: BLE001 - no trace is worth a batch
        log.warning("no trace is kept: %s: %s", type(error).__name__, error)
        return None
    return provider
