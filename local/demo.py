"""`./dev demo members`: a few members written, changed and deleted, and each change awaited where people look.

What is awaited is a search through the alias, not the document by its id, which would be there before the refresh.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from local import members, stream_function, tables
from local.errors import LocalError
from local.stack import Say, Stack
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.errors import SearchSyncError

_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.02
_MEMBERS = members.ENTITY
_FUNCTION = stream_function.name_of(_MEMBERS)
(_KEY,) = _MEMBERS.key


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one member, and the words that find it afterwards, or find it no more.

    :param item: attributes as plain text; None to delete the member.
    """

    text: str
    key: str
    item: dict[str, str] | None
    words: dict[str, str]


def run(stack: Stack, say: Say) -> None:
    """Show every step, and how long the search took to show it.

    :raises LocalError: when something that is needed does not run, or a change is not found within 15 seconds.
    """
    client, dynamodb = _ready(stack), tables.client("dynamodb", stack.address("aws"))
    token = secrets.token_hex(3)  # nobody else has a name like this
    steps, took = list(_steps(token)), []
    try:
        for step in steps:
            took.append(_take(client, dynamodb, step))
            say(f"{took[-1]:6.2f} s  {step.text}")
    finally:
        for key in {step.key for step in steps}:
            _write(dynamodb, key, None)
    say(
        f"{len(took)} changes, each found by search through the alias {_MEMBERS.name}: "
        f"median {median(took):.2f} s, longest {max(took):.2f} s"
    )


def _steps(token: str) -> Iterator[Step]:
    ada, grace = f"demo-{token}-1", f"demo-{token}-2"
    names = {ada: f"Ada Demo{token}", grace: f"Grace Demo{token}"}
    married = f"Grace New{token}"

    def member(key: str, city: str) -> dict[str, str]:
        tenant = {str(_MEMBERS.tenant): members.TENANTS[0]}
        return {**tenant, "name": names[key], "city": city, "email": f"{key}@example.com", "status": "active"}

    yield Step(f"wrote {names[ada]}", ada, member(ada, "Berlin"), {"name": names[ada]})
    yield Step(f"wrote {names[grace]}", grace, member(grace, "Lagos"), {"name": names[grace]})
    moved = {"name": names[ada], "city": "Osaka"}
    yield Step(f"moved {names[ada]} from Berlin to Osaka", ada, member(ada, "Osaka"), moved)
    renamed = {**member(grace, "Lagos"), "name": married}
    yield Step(f"renamed {names[grace]} to {married}", grace, renamed, {"name": married})
    yield Step(f"deleted {names[ada]}", ada, None, {"name": names[ada]})
    yield Step(f"wrote {names[ada]} again", ada, member(ada, "Zürich"), {"name": names[ada]})
    yield Step(f"deleted {names[ada]}", ada, None, {"name": names[ada]})
    yield Step(f"deleted {married}", grace, None, {"name": married})


def _ready(stack: Stack) -> Client:
    """A client of the stack's OpenSearch.

    :raises LocalError: when a change would not get through.
    """
    stack.require("opensearch", "aws", _FUNCTION)
    client = connect(stack.variables()["SEARCHSYNC_OPENSEARCH_URL"])
    if (stack.home.stream(_MEMBERS.name) / stream_function.PAUSED).exists():
        raise LocalError(f"the delivery of the stream is paused: `./dev stream resume {_MEMBERS.name}` goes on with it")
    try:
        live = EntityIndexes(client.until(Deadline.within(_PATIENCE_SECONDS)), _MEMBERS).live()
    except SearchSyncError as error:
        raise LocalError(f"OpenSearch: {error}") from None
    if live is None:
        raise LocalError(
            f"no index has the alias {_MEMBERS.name} yet: run `./dev up` or `./dev trigger {_MEMBERS.name}_reindex`"
        )
    return client


def _take(client: Client, dynamodb: Any, step: Step) -> float:
    """Seconds from the write until a search shows it."""
    began = time.monotonic()
    _write(dynamodb, step.key, step.item)
    while (elapsed := time.monotonic() - began) < _PATIENCE_SECONDS:
        if _found(client, step) == (step.item is not None):
            return time.monotonic() - began
        time.sleep(_POLL_SECONDS)
    raise LocalError(f"{step.text}: after {elapsed:.0f} s the search does not show it; see `./dev logs {_FUNCTION}`")


def _write(dynamodb: Any, key: str, item: dict[str, str] | None) -> None:
    table = _MEMBERS.table
    if item is None:
        dynamodb.delete_item(TableName=table, Key={_KEY: {"S": key}})
    else:
        typed = {name: {"S": value} for name, value in item.items()}
        dynamodb.put_item(TableName=table, Item={_KEY: {"S": key}, **typed})


def _found(client: Client, step: Step) -> bool:
    words = [{"match": {name: {"query": text, "operator": "and"}}} for name, text in step.words.items()]
    body = {"size": 0, "query": {"bool": {"must": words}}}
    try:
        answer = client.request("POST", f"/{_MEMBERS.name}/_search", body=body, patience=0)
    except SearchSyncError as error:
        raise LocalError(f"OpenSearch: {error}") from None
    return bool(answer["hits"]["total"]["value"])
