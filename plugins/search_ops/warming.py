"""Warming of the search API before a swap: it asks its most frequent queries of the new index, and keeps the answers.

The connection ``search_api`` (type http): schema, host and port of the API; login and password of a user of the role
``service`` or ``admin``; in ``extra`` the ``client_id`` of an app client of the Cognito user pool that may use
``USER_PASSWORD_AUTH``, and ``aws_conn_id``, by default ``aws_default``, for the pool's region.
"""

import http.client
import logging
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

log = logging.getLogger(__name__)

SEARCH_API = "search_api"

WARM_SECONDS = 60.0
"""Seconds for which a swap waits. The API may go on by itself."""

_MAX_ANSWER = 2_000
"""Maximum bytes of an answer that are read; only a person reads them."""


def warm(entity: str, index: str) -> str:
    """Ask the search API to warm an index that is about to be live. Return what came of it, for a person.

    Nothing is raised: without it some searches are slower, which is no reason to keep an index from being live.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = BaseHook.get_connection(SEARCH_API)
        outcome = _within(WARM_SECONDS, _request(connection, f"/v1/{quote(entity)}/warm?index={quote(index)}"))
    except AirflowNotFoundException:
        outcome = f"not warmed: there is no connection {SEARCH_API}"
    except Exception as error:
        log.warning("the search API has not warmed %s", index, exc_info=True)
        outcome = f"not warmed: {type(error).__name__}: {error}"
    log.info("%s: %s", index, outcome)
    return outcome


def _request(connection: Any, path: str) -> Callable[[], str]:
    """Return the request as a function, which needs Airflow no more and can run in a thread."""
    from search_ops import hook

    client_id = connection.extra_dejson["client_id"]
    cognito = hook.aws(connection.extra_dejson.get("aws_conn_id") or "aws_default", "cognito-idp")
    login = {"USERNAME": connection.login, "PASSWORD": connection.password}
    secure = connection.schema != "http"

    def request() -> str:
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
        return f"warmed: {said}" if answer.status < 300 else f"not warmed: {answer.status} {said}"

    return request


def _within(seconds: float, work: Callable[[], str]) -> str:
    """Return the result of some work, or raise its error.

    The time-outs of sockets bound one step each, not all of them together.

    :raises TimeoutError: when it is not done in time; it goes on in a thread that nobody waits for
    """
    done: list[str | Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    match done:
        case []:
            raise TimeoutError(f"no answer within {seconds:.0f} s")
        case [Exception() as error]:
            raise error
        case [outcome]:
            return str(outcome)
    raise AssertionError(done)
