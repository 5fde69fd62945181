"""A stand-in for Bedrock: it speaks Converse and ConverseStream over HTTP, and plays turns instead of a model.

`python -m local.bedrock_stand_in --port 8090` plays the rules of `local.bedrock_rules`; tests give their own player.
Each request and each answer is held to botocore's description of Bedrock, and each conversation to what Bedrock asks
beyond it. It is no model, and no guardrail: what it says shows how the agent goes on, and nothing about a real answer.
"""

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from local import bedrock_rules
from local import bedrock_shapes as shapes
from local.bedrock_turns import Fail, Guard, Player, frames, lets_all_pass, whole

_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream)|/guardrail/([^/]+)/version/([^/]+)/(apply)")
_OPERATIONS = {"converse": "Converse", "converse-stream": "ConverseStream", "apply": "ApplyGuardrail"}
_WITHOUT_SYSTEM = ("amazon.titan-text-",)
_THINKING = ("anthropic.claude-haiku-5-5",)
_WITHOUT_TOOLS = ("amazon.titan-text-", "anthropic.claude-v2", "anthropic.claude-instant")


@dataclass
class StandIn:
    """What it plays, and what it was asked.

    :ivar requests: operation and parameters of each request
    """

    play: Player
    guard: Guard = lets_all_pass
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Refused(Exception):
    """An error of Bedrock. The arguments are its name and what it says."""


def _check_conversation(asked: Mapping[str, Any]) -> None:
    """Refuse what Bedrock refuses although its shape is right."""
    model = asked["modelId"].partition(".")[2] if asked["modelId"].count(".") > 1 else asked["modelId"]
    if asked.get("system") and model.startswith(_WITHOUT_SYSTEM):
        raise Refused("ValidationException", "This model doesn't support system messages.")
    if asked.get("toolConfig") and model.startswith(_WITHOUT_TOOLS):
        raise Refused("ValidationException", "This model doesn't support tool use.")
    thinking = asked.get("additionalModelRequestFields", {}).get("thinking", {}).get("type")
    forced = asked.get("toolConfig", {}).get("toolChoice", {}).keys() & {"any", "tool"}
    if forced and model.startswith(_THINKING) and thinking != "disabled":
        raise Refused("ValidationException", "Thinking may not be enabled when tool_choice forces tool use.")
    messages = asked.get("messages") or []
    if [one["role"] for one in messages] != ["user", "assistant"] * (len(messages) // 2) + ["user"]:
        raise Refused("ValidationException", "Roles must alternate between user and assistant, and end with user.")
    for said, answered in zip(messages[1::2], messages[2::2], strict=True):
        used = sorted(block["toolUse"]["toolUseId"] for block in said["content"] if "toolUse" in block)
        given = sorted(block["toolResult"]["toolUseId"] for block in answered["content"] if "toolResult" in block)
        if used != given or len({*used}) != len(used):
            raise Refused("ValidationException", "Each toolUse needs its toolResult in the next message.")
    tools = [one["toolSpec"]["name"] for one in asked.get("toolConfig", {}).get("tools", ())]
    wanted = asked.get("toolConfig", {}).get("toolChoice", {}).get("tool", {}).get("name")
    if wanted and wanted not in tools:
        raise Refused("ValidationException", f"There is no tool {wanted}.")


def _assessed(stand_in: StandIn, asked: Mapping[str, Any]) -> dict[str, Any]:
    texts = [one["text"]["text"] for one in asked["content"]]
    passes = stand_in.guard(asked["source"], texts)
    kinds = ("topic", "content", "word", "sensitiveInformation", "sensitiveInformationFree", "contextualGrounding")
    usage = {f"{kind.removesuffix('Free')}Policy{'Free' if kind.endswith('Free') else ''}Units": 1 for kind in kinds}
    outputs = [] if passes else [{"text": "The stand-in's guardrail does not let this pass."}]
    action = "NONE" if passes else "GUARDRAIL_INTERVENED"
    return {"usage": usage, "action": action, "outputs": outputs, "assessments": []}


class Handler(BaseHTTPRequestHandler):
    """One request. The stand-in is set on a subclass by `make_server`."""

    stand_in: StandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each event is sent when it happens

    def do_POST(self) -> None:
        path = _PATH.fullmatch(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            if path is None:
                raise Refused("UnknownOperationException", "There is no such operation.")
            model, how, guardrail, version, apply = (unquote(part) if part else "" for part in path.groups())
            named = {"modelId": model} if model else {"guardrailIdentifier": guardrail, "guardrailVersion": version}
            self._answer(_OPERATIONS[how or apply], {**json.loads(body), **named})
        except Refused as refused:
            self._fail(*refused.args)

    def _answer(self, name: str, asked: dict[str, Any]) -> None:
        operation = shapes.operation("bedrock-runtime", name)
        if wrong := shapes.faults(operation.input_shape, asked):
            raise Refused("ValidationException", "; ".join(wrong))
        self.stand_in.requests.append((name, asked))
        if name == "ApplyGuardrail":
            self._send(shapes.require(operation.output_shape, _assessed(self.stand_in, asked)))
            return
        _check_conversation(asked)
        turn = self.stand_in.play(asked)
        if isinstance(turn, Fail):
            raise Refused(turn.error, f"The stand-in plays a {turn.error}.")
        time.sleep(turn.silent_seconds)
        if name == "Converse":
            self._send(shapes.require(operation.output_shape, whole(turn)))
        else:
            self._stream(frames(turn))

    def _stream(self, frames: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", shapes.STREAM)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for frame in frames:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:  # it is to break, or nobody reads any more
            self.close_connection = True

    def _fail(self, name: str, message: str) -> None:
        errors = {one.name: one for one in shapes.operation("bedrock-runtime", "ConverseStream").error_shapes}
        status = errors[name].metadata["error"]["httpStatusCode"] if name in errors else 400
        self._send({"message": message}, status, {"x-amzn-errortype": name})

    def _send(self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(document, default=str).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """No line per request: they hold what people asked."""


class Server(ThreadingHTTPServer):
    """Ends at once, whatever connections are open."""

    daemon_threads = True

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"


def make_server(stand_in: StandIn, *, host: str = "127.0.0.1", port: int = 0) -> Server:
    """A stand-in that listens already; `serve_forever` makes it answer.

    :param port: 0 for a free one
    :raises OSError: if the port is taken.
    """
    return Server((host, port), type("BoundHandler", (Handler,), {"stand_in": stand_in}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line printed names the address."""
    parser = argparse.ArgumentParser(prog="python -m local.bedrock_stand_in", description="Plays Bedrock's part.")
    parser.add_argument("--port", type=int, required=True, help="0 for a free one")
    options = parser.parse_args(arguments)
    try:
        server = make_server(StandIn(bedrock_rules.play), port=options.port)
    except OSError as error:
        raise SystemExit(f"cannot listen on port {options.port}: {error}") from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"stand-in for Bedrock on {server.url}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
