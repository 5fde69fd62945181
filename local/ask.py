"""`./dev ask QUESTION`: ask the agent of the running stack, and show each event as it comes.

Its model is played by rules (`local.bedrock_rules`), so an answer shows the loop and its checks, and no intelligence.
"""

import http.client
import json
from collections.abc import Iterator
from typing import Any

from local import cognito, ports, search_api
from local.errors import LocalError
from local.stack import Say, Stack

_SECONDS = 35.0  # the API answers within 28


def run(stack: Stack, question: str, tenant: str, say: Say) -> int:
    """Ask as a user of a tenant. Return 0 when there is an answer of the model, 1 otherwise.

    :raises LocalError: when something that is needed does not run, or the API refuses the question
    """
    stack.require("aws", "opensearch", search_api.PART, search_api.STAND_IN)
    token = cognito.token(cognito.ensure(stack.address("aws")), tenant=tenant, role="tenant_user")
    outcome = ""
    for event in _events(stack.state.ports[search_api.PART], token, question):
        for line in _lines(event):
            say(line)
        outcome = event.get("outcome", outcome)
    say("\nThe model was played by a stand-in: rules, and no intelligence (docs/agent.md).")
    return 0 if outcome == "answered" else 1


def _events(port: int, token: str, question: str) -> Iterator[dict[str, Any]]:
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=_SECONDS)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/ask", json.dumps({"question": question}), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            problem = json.load(answer)
            raise LocalError(f"{problem['detail']} {problem['next_step']}")
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        connection.close()


def _lines(event: dict[str, Any]) -> Iterator[str]:
    if event["event"] == "step":
        asked = json.dumps(event["asked"], ensure_ascii=False)
        found = event["problem"] or f"{event['found']} match, {event['returned']} shown to the model"
        yield f"turn {event['turn']}  {event['tool']} {asked}: {found} ({event['milliseconds']} ms)"
    elif event["event"] == "answer":
        yield f"\nanswer, in the words of the {event['by']}:"
        for one in event["statements"]:
            sources = [f"{cited['entity']}/{cited['id']}" for cited in one["documents"]]
            yield f"  {one['text']}  [{', '.join(sources) or 'search {}'.format(one['search'])}]"
    else:
        spent = f"{event['turns']} turns, {event['tool_calls']} tool calls, {event['input_tokens']} tokens read, "
        yield f"\n{event['outcome']}: {event['text']}"
        yield f"{spent}{event['output_tokens']} written"
