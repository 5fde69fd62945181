"""An alert that is not sent is the outage nobody hears of: it goes out while OpenSearch is away and Slack is busy."""

import html
import json
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import ports

Slack = Callable[[], list[str]]

SOON_SECONDS = 15.0
"""On a busy machine; a callback is killed after 50 s, in which Airflow also has to read the DAG's file."""


def context(dag_id: str, run_id: str = "a run") -> dict[str, Any]:
    run = SimpleNamespace(dag_id=dag_id, run_id=run_id, conf={"entity": "locations"})
    return {"dag": SimpleNamespace(dag_id=dag_id), "run_id": run_id, "dag_run": run, "reason": "task_failure"}


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def refusing() -> Iterator[int]:
    yield ports.choose()


@pytest.mark.parametrize("away", [black_hole, refusing])
@pytest.mark.parametrize("dag_id", ["locations_reindex", "index_rollback", "locations_quality"])
def test_an_alert_goes_out_within_seconds_when_opensearch_is_away(
    slack: Slack, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, away: Any, dag_id: str
) -> None:
    """Just then it is wanted, and whoever waits for OpenSearch as a task does is killed before it is sent."""
    from search_ops import alerts

    monkeypatch.setattr(alerts, "_failed_tasks", lambda *_: "announce")
    with away() as port:
        connect(port)
        began = time.monotonic()
        alerts.run_failed(context(dag_id))
        assert time.monotonic() - began < SOON_SECONDS
    (said,) = slack()
    assert f"*{dag_id}* failed" in said
    assert "a run" in said
    if dag_id != "locations_quality":
        assert "cannot be read" in said


class Busy(BaseHTTPRequestHandler):
    """Slack in a burst: one message a second, all others are answered 429."""

    said: list[str]
    notified: list[str]
    refused: list[float]
    recent: deque[float]
    lock: threading.Lock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.lock:
            now = time.monotonic()
            free = not self.recent or now - self.recent[-1] >= 1.0
            if free:
                self.recent.append(now)
                message = json.loads(body)
                self.said.append(message["blocks"][0]["text"]["text"])
                self.notified.append(message["text"])
            else:
                self.refused.append(now)
        self.send_response(HTTPStatus.OK if free else HTTPStatus.TOO_MANY_REQUESTS)
        if not free:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """No line for each request."""


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Busy]]:
    handler: type[Busy] = type(
        "Bound", (Busy,), {"said": [], "notified": [], "refused": [], "recent": deque(), "lock": threading.Lock()}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        value = {
            "conn_type": "slackwebhook",
            "host": f"http://127.0.0.1:{server.server_port}/services",
            "password": "T/B/X",
        }
        monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_SLACK", json.dumps(value))
        yield handler
        server.shutdown()


def test_every_alert_of_a_burst_arrives(busy: type[Busy]) -> None:
    """An outage lets all DAGs fail in one minute, and Slack takes one message a second."""
    from search_ops import slack

    texts = [f"alert {number}" for number in range(5)]
    threads = [threading.Thread(target=slack.send, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert busy.refused, "there was no burst: nothing is shown"
    assert sorted(busy.said) == texts


def test_what_a_source_wrote_calls_nobody_and_makes_no_link(busy: type[Busy]) -> None:
    """A key or a refused value in a message would call the whole channel, or hide an address behind a name."""
    from search_ops import slack

    slack.send("*members_dlq_replay* parked <!channel> & <https://example.com|the runbook>")
    shown = ["*members_dlq_replay* parked &lt;!channel&gt; &amp; &lt;https://example.com|the runbook&gt;"]
    assert busy.said == busy.notified == shown


@pytest.mark.parametrize("text", ["&" * 5_000, "a" * 2_899 + "<<<", "short", ""])
def test_a_message_is_not_longer_than_slack_takes_and_ends_with_a_whole_character(text: str) -> None:
    from search_ops import slack

    told = slack.shortened(text, slack.MAX_TEXT)
    assert len(told) <= slack.MAX_TEXT
    assert html.unescape(told) == text[: len(html.unescape(told))]
    assert len(told) > slack.MAX_TEXT - 10 or html.unescape(told) == text


def test_an_alert_is_sent_when_slack_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search_ops import slack

    port, file = ports.choose(), tmp_path / "slack.jsonl"
    value = {"conn_type": "slackwebhook", "host": f"http://127.0.0.1:{port}/services", "password": "T/B/X"}
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_SLACK", json.dumps(value))
    nobody = threading.Event()
    original = slack.Patience.prepare_for_next_attempt

    def wait(self: Any, **seen: Any) -> None:
        nobody.set()
        original(self, **seen)

    monkeypatch.setattr(slack.Patience, "prepare_for_next_attempt", wait)
    sending = threading.Thread(target=slack.send, args=["late, but there"])
    sending.start()
    assert nobody.wait(SOON_SECONDS), "the first attempt found somebody"
    command = [sys.executable, "-m", "local.slack_sink", "--port", str(port), "--file", str(file)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL) as sink:
        sending.join()
        sink.terminate()
    assert "late, but there" in file.read_text()


def test_an_alert_that_cannot_be_sent_is_in_the_log_and_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The callback's process is killed soon, and the next callback of the same file waits in it."""
    from search_ops import slack

    logged: list[str] = []
    monkeypatch.setattr(slack.log, "exception", lambda text, *values: logged.append(text % values))
    with refusing() as port:
        value = {"conn_type": "slackwebhook", "host": f"http://127.0.0.1:{port}/services", "password": "T/B/X"}
        monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_SLACK", json.dumps(value))
        began = time.monotonic()
        slack.send("first line", "what happened", seconds=2.0)
        assert 1.5 < time.monotonic() - began < SOON_SECONDS
    assert "first line\nwhat happened" in logged[0]


def test_a_process_that_has_had_its_time_sends_once_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second DAG of the same file fails in the same minute: its alert has to go out before the process is killed."""
    import psutil

    from search_ops import slack

    began = time.time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: began - slack.CALLBACK_SECONDS)
    assert slack.seconds_of_callback() == 0.0
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: began - slack.CALLBACK_SECONDS + 20)
    assert 0 < slack.seconds_of_callback() <= 20
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: began)
    assert slack.seconds_of_callback() == slack.SEND_SECONDS


@pytest.mark.parametrize(("text", "scheme"), [("false", "http"), ("False", "http"), ("0", "http"), ("true", "https")])
def test_a_connections_uri_says_yes_and_no_in_words(
    monkeypatch: pytest.MonkeyPatch, airflow_database: None, text: str, scheme: str
) -> None:
    from search_ops import hook

    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_OPENSEARCH", f"opensearch://127.0.0.1:9201/?use_ssl={text}")
    (host,) = hook.opensearch().transport.hosts
    assert hook.opensearch().transport.get_connection().host == f"{scheme}://127.0.0.1:9201", host


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("opensearch://127.0.0.1:9201/?use_ssl=perhaps", "use_ssl='perhaps'"),
        ("opensearch://127.0.0.1:9201/?verify_certs=", "verify_certs=''"),
        ("opensearch://:9201/", "host"),
    ],
)
def test_a_connection_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, uri: str, why: str) -> None:
    """What is not understood must not turn certificates off, nor encryption."""
    from search_ops import hook
    from searchsync.errors import BadParams

    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_OPENSEARCH", uri)
    with pytest.raises(BadParams, match=why):
        hook.opensearch()


@pytest.mark.parametrize(("text", "verifies"), [("false", False), ("true", True)])
def test_certificates_are_verified_unless_a_connection_says_no(
    monkeypatch: pytest.MonkeyPatch, text: str, verifies: bool
) -> None:
    from search_ops import hook

    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_OPENSEARCH", f"opensearch://h:9201/?verify_certs={text}")
    pool = hook.opensearch().transport.get_connection().pool
    assert (pool.cert_reqs == "CERT_REQUIRED") is verifies
