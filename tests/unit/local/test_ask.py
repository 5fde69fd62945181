"""`./dev ask`: each event of the agent as a line, and an exit code that says whether the model answered."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from local import ask, cognito, search_api
from local.errors import LocalError
from local.paths import Home
from local.stack import Stack

STEP = {"event": "step", "turn": 1, "tool": "search_locations", "asked": {"q": "Lisbon"}, "found": 2, "returned": 1}
FAILED = {**STEP, "found": None, "returned": 0, "problem": "no-index", "milliseconds": 3}
CITED = [{"entity": "locations", "id": "1", "name": "Lisbon"}]
SAID = [
    {"text": "Lisbon is there.", "documents": CITED, "search": None},
    {"text": "2 match.", "documents": [], "search": 1},
]
COUNTS = {"turns": 2, "tool_calls": 1, "input_tokens": 400, "output_tokens": 100}
EVENTS: list[dict[str, Any]] = [
    {**STEP, "problem": "", "milliseconds": 5},
    FAILED,
    {"event": "answer", "by": "model", "statements": SAID},
    {"event": "end", "outcome": "answered", "text": "This is the answer.", **COUNTS},
]


class Api(BaseHTTPRequestHandler):
    """Answers as the service does."""

    status = 200
    asked: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        type(self).asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        problem = {"detail": "There is no agent.", "next_step": "Set one."}
        frames = "".join(f"event: {one['event']}\ndata: {json.dumps(one)}\n\n" for one in EVENTS)
        body = (json.dumps(problem) if self.status != 200 else frames).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """No line per request."""


@pytest.fixture
def stack(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(tmp_path))
    monkeypatch.setattr(Stack, "require", lambda *_: None)
    monkeypatch.setattr(cognito, "ensure", lambda _: None)
    monkeypatch.setattr(cognito, "token", lambda *_, tenant, role: f"{tenant}.{role}")
    server = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    stack = Stack(Home.from_environment(), print)
    stack.state.ports[search_api.PART] = server.server_port
    yield stack
    server.shutdown()
    server.server_close()


def test_each_event_is_shown(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Api, "status", 200)
    said: list[str] = []
    assert ask.run(stack, "places like Lisbon", "acme", said.append) == 0
    assert Api.asked == {"question": "places like Lisbon"}
    assert said[0] == 'turn 1  search_locations {"q": "Lisbon"}: 2 match, 1 shown to the model (5 ms)'
    assert said[1] == 'turn 1  search_locations {"q": "Lisbon"}: no-index (3 ms)'
    assert said[3:5] == ["  Lisbon is there.  [locations/1]", "  2 match.  [search 1]"]
    assert said[5] == "\nanswered: This is the answer."
    assert "stand-in" in said[-1], "nobody should take it for a model"


def test_a_problem_is_one_message(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Api, "status", 404)
    with pytest.raises(LocalError, match=r"There is no agent\. Set one\."):
        ask.run(stack, "x", "acme", print)
