"""Which calls of AWS and of OpenSearch the product makes, and which part of it, noted while tests run.

A part is what has a role of its own (``include/policies/roles.yaml``). Which one calls is seen by the stack: the
library is the same for all of them.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import opensearchpy
from botocore.client import BaseClient

from search_api.engine.client import Engine
from searchsync.access import cluster_roles, roles
from searchsync.catalog import CATALOG
from searchsync.recovery import COPIES

REPO = str(Path(__file__).parents[1])
RECORDED = Path(REPO) / "tests" / "recorded" / "calls.yaml"
"""By role: the calls that its part makes."""

OURS = (f"{REPO}/src/", f"{REPO}/plugins/", f"{REPO}/services/", f"{REPO}/lambdas/", f"{REPO}/dags/")
WIRE = ("/searchsync/cluster/client.py", "/searchsync/stream/queue.py")
"""They pass on what others ask for: tests use them, too."""

PARTS = (
    ("/services/search_api/routes/development.py", "person"),  # no other environment has it
    ("/services/search_api/", "search-api-task"),
    ("/lambdas/stream/", "stream"),
    ("/searchsync/stream/consumer.py", "stream"),
    ("/searchsync/access/", "opensearch-admin"),
    ("/searchsync/preflight/", "deploy"),
    ("/searchsync/scaffold/", "person"),
    ("/searchsync/cli/tables.py", "person"),
)
"""Files by which a part is known. A person uses rights of his own; all other code is Airflow's."""

_NAMED_LATER = {
    "_doc": ["{id}"],
    "health": ["{index}"],
    "_snapshot": ["{repository}", "{snapshot}"],
    "roles": ["{name}"],
    "rolesmapping": ["{name}"],
}
_RIGHTS_OF_BEDROCK = {"Converse": "InvokeModel", "ConverseStream": "InvokeModelWithResponseStream"}
"""Operations that need the right of another name."""

_OF_EVERYBODY = "sts:GetCallerIdentity"
_OF_A_CHECK = "/searchsync-check-"
"""An index that `entity check` makes, which a person runs. Its writers are threads, whose stacks begin with them."""

_ANY_PLACE = roles.Place("123456789012", "eu-west-1", "eu-central-1", "owner/name", "dev")
_ACTIONS = ("create", "index", "update", "delete")
"""Of a bulk; each needs a right of its own."""


class Call(NamedTuple):
    """One call: of which part, and an action of AWS such as ``sqs:SendMessage`` or a request to OpenSearch."""

    part: str
    what: str


CALLS: dict[Call, None] = {}
"""The calls of the running test, each once, in the order in which they were first made."""


def watch() -> None:
    """Note each call from now on."""

    def of_aws(self: BaseClient, operation: str, *_: Any) -> Iterator[str]:
        model = self.meta.service_model
        if model.operation_model(operation).auth_type == "none":
            return  # everybody may make it
        if model.service_name == "bedrock-runtime":
            operation = _RIGHTS_OF_BEDROCK.get(operation, operation)
        service = {"monitoring": "cloudwatch"}.get(model.signing_name, model.signing_name)
        yield f"{service}:{operation.removesuffix('Batch') if service == 'sqs' else operation}"

    def of_opensearch(self: opensearchpy.Transport, method: str, url: str, body: Any = None, **_: Any) -> Iterator[str]:
        asked = request(method, url)
        if asked.endswith("/_bulk"):
            actions = [f"{asked} {action}" for action in _ACTIONS if f'{{"{action}":'.encode() in body]
            yield from actions or [asked]  # which is granted to nobody
        else:
            yield asked

    def of_search_api(self: Engine, method: str, path: str, *_: Any) -> Iterator[str]:
        yield request(method, path)

    _watch(BaseClient, "_make_api_call", of_aws)
    _watch(opensearchpy.Transport, "perform_request", of_opensearch)
    _watch(Engine, "_request", of_search_api)


def _watch(owner: type, name: str, described: Callable[..., Iterator[str]]) -> None:
    original = getattr(owner, name)

    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        part = _part(sys._getframe(1))
        if part:
            CALLS.update(dict.fromkeys(Call(part, what) for what in described(self, *arguments, **options)))
        return original(self, *arguments, **options)

    setattr(owner, name, noted)


@cache
def _granted() -> dict[str, set[str]]:
    """By part: the actions of AWS and the requests to OpenSearch that its role is granted."""
    entities = [replace(entity, read_from="export") for entity in CATALOG.values()]
    found: dict[str, set[str]] = {}
    for role in roles.rendered(_ANY_PLACE, entities).values():
        found.setdefault(role.part, set()).update(call for grant in role.grants for call in grant.calls)
    for cluster_role in cluster_roles.rendered(entities).values():
        found[cluster_role.part] |= requests_of(cluster_role)
    return found


def requests_of(role: cluster_roles.ClusterRole) -> set[str]:
    """Return the requests that a role of OpenSearch is granted, named as ``request`` names them."""
    found = set()
    for grant in role.grants:
        own = [index for index in grant.indexes if index.startswith("searchsync-")] or ["{index}"]
        found |= {one.replace("{index}", name) for one in grant.requests for name in own}
    return found


def not_granted(made: Iterable[Call]) -> list[Call]:
    """Return the calls of parts with a role that are not granted to it.

    The master user of OpenSearch may send it every request.
    """
    granted = _granted()
    return [
        call
        for call in made
        if call.part not in ("person", "opensearch-admin")
        and call.what != _OF_EVERYBODY
        and _OF_A_CHECK not in call.what
        and not any(_is(call.what, one) for one in granted[call.part])
    ]


def _is(what: str, granted: str) -> bool:
    return what == granted or ("/" not in what and fnmatchcase(what, granted))


def request(method: str, path: str) -> str:
    """Return a request without what differs from one to the next: ``GET /{index}/_alias``.

    Our own small indexes, beside those of entities, keep their names.
    """
    first, *rest = [part for part in path.partition("?")[0].split("/") if part]
    if first.startswith(COPIES):
        first = f"{COPIES}*"  # their names have the run in them
    named = first if first.startswith(("_", "searchsync-")) else "{index}"
    parts, names = [named], list(_NAMED_LATER.get(first, []))
    for part in rest:
        parts.append(names.pop(0) if names and not part.startswith("_") else part)
        names = names or list(_NAMED_LATER.get(part, []))
    return f"{method} /{'/'.join(parts)}"


def _files(frame: FrameType | None) -> Iterator[str]:
    """Yield our own files of a stack, the innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(REPO) and not re.search(r"/\.local/", frame.f_code.co_filename):
            yield frame.f_code.co_filename
        frame = frame.f_back


def _part(frame: FrameType) -> str | None:
    """Return the part that calls; None when it is a test or a tool, or one between two parts hides which it is."""
    files = [file for file in _files(frame) if not file.endswith((*WIRE, "/tests/calls.py"))]
    own = [*takewhile(lambda file: file.startswith(OURS), files)]
    if not own:
        return None
    return _known(own) or (None if _known(files) else "airflow-task")


def _known(files: Iterable[str]) -> str | None:
    return next((part for file in files for known, part in PARTS if known in file), None)
