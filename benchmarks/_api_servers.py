"""What ``./dev bench api`` and ``soak`` ask, started for them: the search API, its peer, Redis, an issuer of tokens."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey

from local import ports, redis
from local.paths import ROOT

CLIENT = "benchmark"
TENANT = "acme"
_BOOT_SECONDS = 30.0
_NO_LIMIT = "10000000"


@dataclass(frozen=True)
class Servers:
    """The two that are compared, and a token for the first.

    :ivar processes: of each way; ``direct`` has none of its own
    :ivar ports: where each way listens; ``direct`` is OpenSearch itself
    """

    processes: Mapping[str, psutil.Process]
    ports: Mapping[str, int]
    token: str
    cache: redis.Server


@contextmanager
def running(opensearch_url: str, folder: Path) -> Iterator[Servers]:
    """Start all servers, one process each. None is left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cache = redis.start(folder / "redis")
        stack.callback(cache.stop)
        issuer = stack.enter_context(issuing())
        api, api_port = stack.enter_context(search_api(opensearch_url, cache.url, issuer, folder / "api.log"))
        plain_port = ports.choose()
        uvicorn = ["-m", "uvicorn", "--port", str(plain_port), "--no-access-log", "--log-level", "warning"]
        plain = stack.enter_context(
            _started(
                [sys.executable, *uvicorn, "benchmarks._api_plain:app"],
                {},
                f"http://{ports.LOOPBACK}:{plain_port}/docs",
                folder / "plain.log",
            )
        )
        where = {"ours": api_port, "plain": plain_port, "direct": int(opensearch_url.rsplit(":", 1)[1])}
        processes = {"ours": api, "plain": psutil.Process(plain.pid)}
        yield Servers(processes, where, issuer.token(TENANT, "tenant_user"), cache)


@contextmanager
def search_api(
    opensearch_url: str, redis_url: str, issuer: "Issuer", log: Path, *, tenant_limit: str = _NO_LIMIT
) -> Iterator[tuple[psutil.Process, int]]:
    """Start the search API alone. Yield its process and its port.

    :param tenant_limit: requests of a tenant in a minute
    """
    port = ports.choose()
    settings = {
        "SEARCHSYNC_OPENSEARCH_URL": opensearch_url,
        "SEARCH_API_ENVIRONMENT": "development",
        "SEARCH_API_REDIS_URL": redis_url,
        "SEARCH_API_ISSUER": issuer.url,
        "SEARCH_API_AUDIENCE": CLIENT,
        "SEARCH_API_CURSOR_KEYS": "00" * 32,
        "SEARCH_API_TENANT_REQUESTS_A_MINUTE": tenant_limit,
        "SEARCH_API_ADDRESS_REQUESTS_A_MINUTE": _NO_LIMIT,
        "SEARCH_API_PORT": str(port),
    }
    command = [sys.executable, "-m", "search_api"]
    with _started(command, settings, f"http://{ports.LOOPBACK}:{port}/ready", log) as process:
        yield psutil.Process(process.pid), port


@contextmanager
def _started(
    command: list[str], variables: Mapping[str, str], ready: str, log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    paths = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("src", "services", "."))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **paths, **variables}, stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + _BOOT_SECONDS
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"{' '.join(command[1:3])} did not start; its last words:\n{log.read_text()[-2000:]}"
                )
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


@dataclass(frozen=True)
class Issuer:
    """Who issues tokens.

    :ivar url: its name, and where its keys are
    """

    url: str
    _key: RSAKey

    def token(self, tenant: str | None, role: str, *, seconds: int = 86_400) -> str:
        """Return a token.

        :param tenant: None for none, as administrators have
        :param seconds: for which it is good; below zero for one that has expired
        """
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "token_use": "id", "sub": "benchmark", "iat": now, "exp": now + seconds,
            "cognito:groups": [role], **({"custom:tenant_id": tenant} if tenant else {}),
        }  # fmt: skip
        return jwt.encode({"alg": "RS256", "kid": "benchmark"}, claims, self._key)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Serve a public key while the block runs."""
    key = RSAKey.generate_key(2048, parameters={"kid": "benchmark", "use": "sig", "alg": "RS256"})
    keys = json.dumps({"keys": [key.as_dict(private=False)]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(keys)))
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer((ports.LOOPBACK, 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Issuer(f"http://{ports.LOOPBACK}:{server.server_port}", key)
    finally:
        server.shutdown()
