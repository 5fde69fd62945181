"""Warming of the search API before a swap: it asks its most frequent queries of the new index, and keeps the answers.

The connection ``search_api`` (type http): schema, host and port of the API; login and password of a user of the role
``service`` or ``admin``; in ``extra`` the ``client_id`` of an app client of the Cognito user pool that may use
``USER_PASSWORD_AUTH``, and ``aws_conn_id``, by default ``aws_default``, for the pool's region.
"""

import http.client
import json
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

log = logging.getLogger(__name__)

SEARCH_API = "search_api"

WARM_SECONDS = 60.0
"""Seconds for which a swap waits. The API may go on by itself."""

_MAX_ANSWER = 2_000
"""Maximum bytes of an answer that are read."""

_Result = TypeVar("_Result")


def warm(entity: str, index: str) -> str:
    """Ask the search API to warm an index that is about to be live. Return what came of it, for a person.

    Nothing is raised: without it some searches are slower, which is no reason to keep an index from being live.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = BaseHook.get_connection(SEARCH_API)
        status, said = _within(WARM_SECONDS, _request(connection, f"/v1/{quote(entity)}/warm?index={quote(index)}"))
        outcome = f"warmed: {said}" if status < 300 else f"not warmed: {status} {said}"
    except AirflowNotFoundException:
        outcome = f"not warmed: there is no connection {SEARCH_API}"
    except Exception as error:
        log.warning("the search API has not warmed %s", index, exc_info=True)
        outcome = f"not warmed: {type(error).__name__}: {error}"
    log.info("%s: %s", index, outcome)
    return outcome


def compare(entity: str, index: str) -> dict[str, Any]:
    """Let the search API ask its most frequent queries of an index and of the live one. Return how alike they answer.

    :returns: ``compared`` of its answer (docs/search-api.md)
    :raises SearchSyncError: when it does not say so
    """
    from airflow.sdk import BaseHook

    from searchsync.errors import SearchSyncError

    try:
        connection = BaseHook.get_connection(SEARCH_API)
        path = f"/v1/{quote(entity)}/warm?index={quote(index)}&compare=true"
        status, said = _within(WARM_SECONDS, _request(connection, path))
        if status >= 300:
            raise ValueError(f"{status} {said}")
        found: dict[str, Any] = json.loads(said)["compared"]
        return found
    except Exception as error:
        raise SearchSyncError(f"the search API has not compared {index}: {type(error).__name__}: {error}") from error


def _request(connection: Any, path: str) -> Callable[[], tuple[int, str]]:
    """Return the request as a function, which needs Airflow no more and can run in a thread."""
    from search_ops import hook

    client_id = connection.extra_dejson["client_id"]
    cognito = hook.aws(connection.extra_dejson.get("aws_conn_id") or "aws_default", "cognito-idp")
    login = {"USERNAME": connection.login, "PASSWORD": connection.password}
    secure = connection.schema != "http"

    def request() -> tuple[int, str]:
        known = cognito.initiate_auth(AuthFlow="USER_PASSWORD_AUTH", ClientId=client_id, AuthParameters=login)
        headers = {"Authorization": f"Bearer {known['AuthenticationResult']['IdToken']}", "Content-Length": "0"}
        # It follows no redirect, which would take the token to another host.
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        api = kind(connection.host, connection.port, timeout=WARM_SECONDS)
        try:
            api.request("POST", path, headers=headers)
            answer = api.getresponse()
            said = answer.read(_MAX_ANSWER).decode(errors="replace")
        finally:
            api.close()
        return answer.status, said

    return request


def _within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return the result of some work, or raise its error.

    The time-outs of sockets bound one step each, not all of them together.

    :raises TimeoutError: when it is not done in time; it goes on in a thread that nobody waits for
    """
    done: list[_Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not done:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return done[0]
