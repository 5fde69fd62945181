"""The service as a process: what whoever runs it in a container relies on."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from local import ports
from tests.steps import until

REPO = Path(__file__).parents[3]
NOWHERE = "127.0.0.1:9"
SETTINGS = {
    "SEARCHSYNC_OPENSEARCH_URL": f"http://{NOWHERE}",
    "SEARCH_API_ENVIRONMENT": "development",
    "SEARCH_API_REDIS_URL": f"redis://{NOWHERE}",
    "SEARCH_API_ISSUER": f"http://{NOWHERE}/pool",
    "SEARCH_API_AUDIENCE": "client",
    "SEARCH_API_CURSOR_KEYS": "5e" * 32,
}


def start(tmp_path: Path, **changes: str) -> "subprocess.Popen[bytes]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SEARCH", "AWS", "PROMETHEUS"))}
    env = {**own, "PYTHONPATH": f"{REPO / 'services'}:{REPO / 'src'}", "TMPDIR": str(tmp_path), **SETTINGS, **changes}
    command = [sys.executable, "-m", "search_api"]
    return subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def lives(port: int) -> bool:
    try:
        return ask(port, "/health")[0] == 200
    except OSError:
        return False


def test_two_workers_count_together_and_end_in_order_on_a_signal(tmp_path: Path) -> None:
    """A worker that counted for itself would show half of what happens; one that stays would hold up a deployment."""
    port = ports.choose(None)
    with start(tmp_path, SEARCH_API_PORT=str(port), SEARCH_API_WORKERS="2") as process:
        try:
            until(lambda: lives(port), "the service lives", 60)
            for _ in range(30):
                assert ask(port, "/v1/entities")[0] == 401
            counted = b'search_api_problems_total{code="token-missing",route="entities"} 30.0'
            until(lambda: counted in ask(port, "/metrics")[1], "all are counted, the last one just after its answer")
            assert ask(port, "/ready")[0] == 503  # it never knew where to search
            process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGTERM)
    assert not errors.strip(), errors.decode()
    lines = [json.loads(line) for line in out.splitlines()]
    assert all(line.keys() >= {"timestamp", "level", "message"} for line in lines)
    assert sum(line.get("route") == "entities" for line in lines) == 30


def test_a_wrong_environment_ends_it_and_is_named(tmp_path: Path) -> None:
    """A container that starts with half of its settings fails when the first person asks."""
    with start(tmp_path, SEARCH_API_ENVIRONMENT="production", SEARCH_API_PORTT="1") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.decode().strip() == "search_api: SEARCH_API_PORTT is no setting"
