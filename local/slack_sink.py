"""A stand-in for Slack's incoming webhooks: answers as Slack does, keeps what it got, shows it in a browser.

`python -m local.slack_sink --port 8090 --file messages.jsonl`, then post to `http://127.0.0.1:8090/services/T/B/X`.
Each message is one line of the file: the payload as it came, and `ts`, the time that Slack would have given it.
`GET /messages` is the same as JSON, newest first; `GET /` is a page. Nobody is asked for a password, so it listens on
loopback only.
"""

import argparse
import html
import json
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

# What Slack accepts in one message; it refuses the whole message for more.
_BODY_BYTES = 1024 * 1024
_ATTACHMENTS = 100
_BLOCKS = 50
_TEXT_OF_BLOCK = {"section": 3_000, "header": 150}
_WEBHOOK = re.compile(r"/services/[^/]+/[^/]+/[^/]+")
_SHOWN = 1_000
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Slack messages</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
article {{ border-top: 1px solid #ddd; padding: .8rem 0 }}
time {{ color: #616061; font-size: .85em }}
p {{ margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere }}
pre {{ overflow: auto; background: #f6f6f6; padding: .6rem }}
</style>
<h1>Slack messages</h1>
<p>{count} received here instead of by Slack, newest first. <a href="/">Reload</a> · <a href="/messages">JSON</a></p>
{articles}
</html>
"""


class Refused(Exception):
    """Slack would not take the payload; the arguments are the status and the word it answers with."""

    def __init__(self, status: HTTPStatus, word: str) -> None:
        super().__init__(word)
        self.status, self.word = status, word


class Messages:
    """The file of messages: one JSON object a line, appended only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, payload: dict[str, Any]) -> None:
        """Append one message. What a killed server left half-written is closed off, so that it spoils no other line."""
        line = json.dumps({**payload, "ts": f"{time.time():.6f}"}, ensure_ascii=False).encode(
            "utf-8", "backslashreplace"
        )
        with self._lock, self._path.open("a+b") as file:
            end = file.tell()
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line + b"\n")

    def newest_first(self) -> list[dict[str, Any]]:
        """The last messages, at most 1,000."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return list(_objects(reversed(lines[-_SHOWN:])))


def _objects(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def read_payload(body: bytes, content_type: str) -> dict[str, Any]:
    """The message in a request: JSON, or a form with the JSON in the field `payload`, as Slack takes both.

    :raises Refused: with Slack's word for what is wrong.
    """
    try:
        text = body.decode("utf-8")
        if content_type.startswith("application/x-www-form-urlencoded"):
            (text,) = parse_qs(text, strict_parsing=True)["payload"]
        payload = json.loads(text)
    except (ValueError, KeyError):
        raise Refused(HTTPStatus.BAD_REQUEST, "invalid_payload") from None
    if not isinstance(payload, dict) or not isinstance(payload.get("text") or "", str):
        raise Refused(HTTPStatus.BAD_REQUEST, "invalid_payload")
    blocks, attachments = payload.get("blocks") or [], payload.get("attachments") or []
    if not (payload.get("text") or blocks or attachments):
        raise Refused(HTTPStatus.BAD_REQUEST, "no_text")
    if not isinstance(attachments, list) or len(attachments) > _ATTACHMENTS:
        raise Refused(HTTPStatus.BAD_REQUEST, "too_many_attachments")
    if not isinstance(blocks, list) or len(blocks) > _BLOCKS or not all(_is_block(block) for block in blocks):
        raise Refused(HTTPStatus.BAD_REQUEST, "invalid_blocks")
    return payload


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return False
    limit = _TEXT_OF_BLOCK.get(block["type"])
    return limit is None or all(1 <= len(text) <= limit for text in _texts(block.get("text")))


def _texts(value: Any) -> Iterator[str]:
    """Every piece of text in a block or attachment, in order."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in ("text", "pretext", "title", "value", "fallback"):
                yield item
            else:
                yield from _texts(item)


def page(messages: Sequence[dict[str, Any]]) -> str:
    """The messages as HTML; nothing in a message becomes markup."""
    return _PAGE.format(count=len(messages), articles="\n".join(map(_article, messages)) or "<p>None yet.</p>")


def _article(message: dict[str, Any]) -> str:
    try:
        at = f"{datetime.fromtimestamp(float(message['ts']), UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, TypeError, ValueError, OverflowError):
        at = ""
    texts = [str(message.get("text") or ""), *_texts(message.get("blocks")), *_texts(message.get("attachments"))]
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in dict.fromkeys(filter(None, texts)))
    raw = html.escape(json.dumps(message, indent=2, ensure_ascii=False))
    return f"<article><time>{at}</time>{paragraphs}<details><summary>JSON</summary><pre>{raw}</pre></details></article>"


class Handler(BaseHTTPRequestHandler):
    """One request. The messages are set on a subclass by `make_server`."""

    messages: Messages
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        try:
            if not _WEBHOOK.fullmatch(urlsplit(self.path).path):
                raise Refused(HTTPStatus.NOT_FOUND, "no_service")
            self.messages.add(read_payload(body, self.headers.get("Content-Type", "")))
        except Refused as refused:
            self._answer(refused.word, status=refused.status)
        else:
            self._answer("ok")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/messages":
            self._answer(json.dumps(self.messages.newest_first()), kind="application/json")
        elif path == "/":
            self._answer(page(self.messages.newest_first()))
        else:
            self._answer("not found", status=HTTPStatus.NOT_FOUND)

    def _body(self) -> bytes | None:
        """The request's body; None when it was refused unread, which ends the connection."""
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) <= _BODY_BYTES:
            return self.rfile.read(int(length))
        self.close_connection = True
        self._answer("invalid_payload", status=HTTPStatus.BAD_REQUEST)
        return None

    def _answer(self, text: str, *, status: HTTPStatus = HTTPStatus.OK, kind: str = "text/html") -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """No line per request: the messages are the log."""


class Server(ThreadingHTTPServer):
    """Ends at once, whatever connections are open."""

    daemon_threads = True


def make_server(path: Path, *, host: str = "127.0.0.1", port: int = 0) -> Server:
    """A sink that keeps messages in `path` and listens already; `serve_forever` makes it answer.

    :param port: 0 for a free one, then in `server_port`.
    :raises OSError: if the port is taken.
    """
    handler = type("BoundHandler", (Handler,), {"messages": Messages(path)})
    return Server((host, port), handler)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line printed names the address."""
    parser = argparse.ArgumentParser(prog="python -m local.slack_sink", description="Receives what would go to Slack.")
    parser.add_argument("--port", type=int, required=True, help="0 for a free one")
    parser.add_argument("--file", type=Path, required=True, help="where the messages are kept, one JSON object a line")
    parser.add_argument("--host", default="127.0.0.1", help="another address only inside a container")
    options = parser.parse_args(arguments)
    try:
        server = make_server(options.file, host=options.host, port=options.port)
    except OSError as error:
        raise SystemExit(f"cannot listen on {options.host}:{options.port} or write {options.file}: {error}") from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"Slack sink on http://{options.host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
