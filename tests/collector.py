"""A collector of traces: it takes what OpenTelemetry sends over HTTP (OTLP), and keeps it for a test to look at."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Kept:
    """A span as it came; ids are hexadecimal, ``parent`` is empty for the first of a trace."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    raw: str


@dataclass
class Collector:
    """What was taken so far."""

    url: str
    spans: list[Kept] = field(default_factory=list)

    def named(self, name: str) -> list[Kept]:
        """Return the spans of one name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector while a block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.spans += _spans(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _spans(body: bytes) -> Iterator[Kept]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = {pair.key: _plain(pair.value) for pair in of_resource.resource.attributes}.get("service.name", "")
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Kept(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {pair.key: _plain(pair.value) for pair in span.attributes},
                    str(span),
                )


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
