"""A stand-in for the API of OpenSearch's security plugin, which the local distribution does not have.

It has the paths, the fields and the answers that the plugin documents, for roles and their mappings
(https://docs.opensearch.org/latest/security/access-control/api/). It also takes a snapshot repository in S3, which the
local distribution cannot have either.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FIELDS = {
    "roles": {"description", "cluster_permissions", "index_permissions", "tenant_permissions"},
    "rolesmapping": {"description", "backend_roles", "and_backend_roles", "hosts", "users"},
}
OF_INDEXES = {"index_patterns", "dls", "fls", "masked_fields", "allowed_actions"}
_REPOSITORY = re.compile(r"/_snapshot/([\w.-]+)")
_PATH = re.compile(r"/_plugins/_security/api/(roles|rolesmapping)/([\w.-]+)")


class SecurityApi:
    """What was made by it.

    :ivar made: definitions by ``kind/name``
    :ivar writes: how many requests changed something
    """

    def __init__(self) -> None:
        self.url = ""
        self.made: dict[str, Any] = {}
        self.writes = 0

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if repository := _REPOSITORY.fullmatch(path):
            return self._repository(method, repository[1], body)
        if (asked := _PATH.fullmatch(path)) is None or method not in ("GET", "PUT"):
            return 405, {"status": "METHOD_NOT_ALLOWED", "message": f"{method} {path}"}
        kind, name = asked.groups()
        known = self.made.get(f"{kind}/{name}")
        if method == "GET":
            missing = {"status": "NOT_FOUND", "message": f"Resource '{name}' not found."}
            return (404, missing) if known is None else (200, {name: known})
        wrong = (
            body.keys() - FIELDS[kind] | {key for one in body.get("index_permissions", ()) for key in one} - OF_INDEXES
        )
        if wrong:
            return 400, {"status": "error", "reason": "Invalid configuration", "invalid_keys": {"keys": sorted(wrong)}}
        self.writes += 1
        self.made[f"{kind}/{name}"] = _completed(body)
        return (201, {"status": "CREATED"}) if known is None else (200, {"status": "OK"})

    def _repository(self, method: str, name: str, body: Any) -> tuple[int, Any]:
        known = self.made.get(f"_snapshot/{name}")
        if method == "GET":
            missing = {"error": {"type": "repository_missing_exception", "reason": f"[{name}] missing"}, "status": 404}
            return (404, missing) if known is None else (200, {name: known})
        self.writes += 1
        self.made[f"_snapshot/{name}"] = body
        return 200, {"acknowledged": True}


def _completed(body: dict[str, Any]) -> dict[str, Any]:
    """A definition as the plugin returns it: with what was left open."""
    found = {"reserved": False, "hidden": False, "static": False, **body}
    if "index_permissions" in body:
        found["index_permissions"] = [{"fls": [], "masked_fields": [], **one} for one in body["index_permissions"]]
        found.setdefault("tenant_permissions", [])
    return found


@contextmanager
def serving() -> Iterator[SecurityApi]:
    api = SecurityApi()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, said = api.answer(self.command, self.path, json.loads(body) if body else {})
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = _answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
