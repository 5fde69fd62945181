"""The sink stands where Slack will: what it accepts, Slack must accept, and what it shows must be what was sent."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from slack_sdk.webhook import WebhookClient

from local import slack_sink

HOOK = "/services/T000/B000/XXX"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "slack" / "messages.jsonl"


@pytest.fixture
def url(file: Path) -> Iterator[str]:
    """A running sink."""
    server = slack_sink.make_server(file)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def call(url: str, body: bytes | None = None, **headers: str) -> tuple[int, str, str]:
    """Status, text and content type of a request: POST when there is a body."""
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode(), response.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def post(url: str, payload: Any) -> tuple[int, str]:
    return call(url + HOOK, json.dumps(payload).encode(), Content_Type="application/json")[:2]


def texts(file: Path) -> list[str]:
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]


def test_slack_sdk_takes_the_answers_for_those_of_slack(url: str, file: Path) -> None:
    """An alert that arrived would count as failed, or one that Slack refuses would count as delivered."""
    client = WebhookClient(url + HOOK)
    sent = client.send(text="locations_reindex failed: grün bleibt", blocks=[{"type": "divider"}])
    assert (sent.status_code, sent.body) == (200, "ok")
    refused = client.send()
    assert (refused.status_code, refused.body) == (400, "no_text")
    (line,) = file.read_text(encoding="utf-8").splitlines()
    message = json.loads(line)
    assert float(message.pop("ts")) > 0
    assert message == {"text": "locations_reindex failed: grün bleibt", "blocks": [{"type": "divider"}]}


def section(length: int) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": "x" * length}}


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ({"blocks": [section(3_000)] * 50}, (200, "ok")),
        ({"attachments": [{"text": "a"}]}, (200, "ok")),
        ({"text": ""}, (400, "no_text")),
        ({"text": 1}, (400, "invalid_payload")),
        (["text"], (400, "invalid_payload")),
        ({"blocks": [section(3_001)]}, (400, "invalid_blocks")),
        ({"blocks": [section(0)]}, (400, "invalid_blocks")),
        ({"blocks": [{"type": "divider"}] * 51}, (400, "invalid_blocks")),
        ({"blocks": ["text"]}, (400, "invalid_blocks")),
        ({"blocks": {"type": "divider"}}, (400, "invalid_blocks")),
        ({"attachments": [{"text": "a"}] * 101}, (400, "too_many_attachments")),
    ],
)
def test_limits_are_those_of_slack(payload: Any, answer: tuple[int, str], url: str, file: Path) -> None:
    """A failure message too long for Slack would be shown here and never reach anyone in production."""
    assert post(url, payload) == answer
    assert file.exists() == (answer == (200, "ok"))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b"payload="])
def test_malformed_payload_is_refused(body: bytes, url: str, file: Path) -> None:
    """Half a request must not become a message, nor break the file for the next one."""
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        assert call(url + HOOK, body, Content_Type=kind)[:2] == (400, "invalid_payload")
    assert not file.exists()


def test_form_with_payload_is_read(url: str, file: Path) -> None:
    """Slack takes this older form too, which `curl --data-urlencode` sends."""
    body = b"payload=%7B%22text%22%3A+%22a+%26+b%22%7D"
    assert call(url + HOOK, body, Content_Type="application/x-www-form-urlencoded")[:2] == (200, "ok")
    assert texts(file) == ["a & b"]


@pytest.mark.parametrize("path", ["/", "/services", "/services/T000/B000", HOOK + "/more", "/messages"])
def test_only_a_webhook_takes_messages(path: str, url: str, file: Path) -> None:
    """A connection with a wrong address would look right here and be refused by Slack."""
    assert call(url + path, b'{"text": "a"}', Content_Type="application/json")[:2] == (404, "no_service")
    assert not file.exists()


def test_too_large_a_body_is_refused_unread(url: str, file: Path) -> None:
    """A runaway message must not fill memory and disk."""
    assert call(url + HOOK, b"{}", Content_Length="10000000")[:2] == (400, "invalid_payload")
    assert post(url, {"text": "after it"}) == (200, "ok")
    assert texts(file) == ["after it"]


def test_messages_are_listed_newest_first_and_survive_a_restart(url: str, file: Path) -> None:
    """Whoever looks after a failed run reads its alert first, also when the sink was restarted since."""
    for text in ("first", "second"):
        post(url, {"text": text})
    status, body, kind = call(f"{url}/messages")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    assert [message["text"] for message in json.loads(body)] == ["second", "first"]
    assert [message["text"] for message in slack_sink.Messages(file).newest_first()] == ["second", "first"]


def test_half_a_line_of_a_killed_server_spoils_no_message(url: str, file: Path) -> None:
    """The first alert after a crash is the one that matters."""
    file.write_bytes(b'{"text": "whole"}\n{"text": "ha')
    assert post(url, {"text": "after the crash"}) == (200, "ok")
    assert [message["text"] for message in json.loads(call(f"{url}/messages")[1])] == ["after the crash", "whole"]


def test_messages_sent_at_once_are_all_kept_whole(url: str, file: Path) -> None:
    """Several tasks fail together when a server goes: each alert has to be there."""
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda number: post(url, {"text": f"{number} " + "x" * 20_000}), range(100)))
    assert answers == {(200, "ok")}
    assert sorted(int(text.split()[0]) for text in texts(file)) == list(range(100))


def test_page_shows_every_text_and_no_markup(url: str) -> None:
    """A document's content appears in alerts: as HTML it would run in the operator's browser."""
    assert "None yet" in call(url)[1]
    hostile = "</pre><script>alert('x')</script>"
    post(
        url,
        {"text": hostile, "blocks": [section(7), {"type": "header", "text": {"type": "plain_text", "text": "Head"}}]},
    )
    post(url, {"attachments": [{"color": "#f00", "fields": [{"title": hostile, "value": "{braces} \ud800"}]}]})
    status, body, kind = call(url)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<script" not in body
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in body
    for shown in ("<p>xxxxxxx</p>", "<p>Head</p>", "{braces}", " UTC</time>"):
        assert shown in body
    assert body.index("{braces}") < body.index("<p>Head</p>"), "newest first"


def test_command_listens_on_loopback_and_ends_on_sigterm(file: Path) -> None:
    """Alerts name indexes and documents: they must not be readable from the network, nor `dev down` wait."""
    command = [sys.executable, "-m", "local.slack_sink", "--port", "0", "--file", str(file)]
    root = Path(slack_sink.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = server.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.1:")
        assert post(address, {"text": "here"}) == (200, "ok")
        again = [*command[:-3], address.rsplit(":", 1)[1], *command[-2:]]
        taken = subprocess.run(again, cwd=root, capture_output=True, text=True, check=False)
        assert (taken.returncode, taken.stderr[:16]) == (1, "cannot listen on")
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        assert server.stderr.read() == ""
    assert texts(file) == ["here"]
