"""OpenSearch over the wire: a client with patience and a deadline. Every failure becomes a typed error."""

import copy
import json
import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, cast

import botocore.session
import opensearchpy
import urllib3
from opensearchpy import exceptions as os_errors

from searchsync import aws
from searchsync.cluster import refusals
from searchsync.deadline import NEVER, Deadline
from searchsync.errors import BadConnection, BadParams, IndexUnavailable, RequestRejected, SearchSyncError
from searchsync.telemetry import traces

log = logging.getLogger(__name__)
logging.getLogger("opensearch").setLevel(logging.ERROR)  # it warns of every 404; what matters is raised here, typed
logging.getLogger("opensearchpy.trace").setLevel(logging.ERROR)  # at INFO it writes every document to the log

PATIENCE_SECONDS: Final = 300.0
"""Seconds for which a write or request is tried again before it fails: longer than a node's restart takes."""

REQUEST_SECONDS: Final = 60.0
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 10.0
"""Seconds that one attempt may take to connect, and to wait for its answer, where there is a deadline.

An attempt that hangs must leave time for another.
"""

MAX_CONNECTIONS: Final = 8
_NOT_OPENSEARCH = "the answer is not OpenSearch's JSON ({}). Does the URL lead to a proxy or a login page?"
_NDJSON = {"content-type": "application/x-ndjson"}
# The filter keeps the item array positional and cuts the answer to what is read (opensearch-py parses all of it). The
# time-out is that for a shard which is away: how often to try again is decided here. Both stand in the path, because
# opensearch-py takes a parameter of that name for its own.
BULK = (
    "_bulk?timeout=5s&filter_path=errors,items.*.status,"
    "items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)
# An update with nothing in it changes nothing, and is answered with what is stored: by the primary shard, which will
# compare the write with it, and without the refresh that reading a young document by `_mget` costs.
_LOOK_UP = (
    "_bulk?_source=sync.position&timeout=5s&filter_path=errors,items.*.status,items.*.get,"
    "items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)


def connect(
    url: str,
    *,
    auth: Any = None,
    ca_certs: str | None = None,
    verify_certs: bool = True,
    timeout: float = REQUEST_SECONDS,
) -> "Client":
    """Return a client for one cluster. This sends nothing yet.

    :param url: ``http(s)://host:port``, without credentials
    :param auth: ``(user, password)``, a SigV4 signer such as ``Urllib3AWSV4SignerAuth``, or None
    :param ca_certs: file with the certificates to trust; None for the system's certificates
    :param verify_certs: False only for development
    :param timeout: seconds that one answer may take where there is no deadline
    """
    parts = urllib3.util.parse_url(url)
    if parts.scheme not in ("http", "https") or not parts.host:
        raise BadParams("the OpenSearch URL must be http(s)://host:port")
    return Client(
        hosts=[{"host": parts.host, "port": parts.port or (443 if parts.scheme == "https" else 9200)}],
        use_ssl=parts.scheme == "https",
        verify_certs=verify_certs,
        ssl_show_warn=verify_certs,
        ca_certs=ca_certs,
        http_auth=auth,
        connection_class=opensearchpy.Urllib3HttpConnection,
        timeout=timeout,
        pool_maxsize=MAX_CONNECTIONS,
        max_retries=0,  # retried here, where it is known what a second attempt means
        serializer=_Answers(),
    )


def connect_from_environment() -> "Client":
    """Return a client for the cluster at ``SEARCHSYNC_OPENSEARCH_URL``.

    When ``SEARCHSYNC_OPENSEARCH_AWS_SERVICE`` is set (``es``), requests are signed with the credentials that AWS gives
    this process. Otherwise the login is ``SEARCHSYNC_OPENSEARCH_USER`` and ``_PASSWORD``.
    ``SEARCHSYNC_OPENSEARCH_CA_CERTS`` is used as ``ca_certs``.

    :raises BadParams: when the URL is not set
    :raises BadConnection: when AWS gives no credentials, or no region
    """
    user, service = os.environ.get("SEARCHSYNC_OPENSEARCH_USER"), os.environ.get("SEARCHSYNC_OPENSEARCH_AWS_SERVICE")
    auth: Any = None
    if service:
        with aws.errors("OpenSearch's signature", SearchSyncError):
            session = botocore.session.get_session()
            auth = signer(session.get_credentials(), session.get_config_variable("region"), service)
    elif user:
        auth = (user, os.environ.get("SEARCHSYNC_OPENSEARCH_PASSWORD", ""))
    ca_certs = os.environ.get("SEARCHSYNC_OPENSEARCH_CA_CERTS")
    return connect(setting("SEARCHSYNC_OPENSEARCH_URL"), auth=auth, ca_certs=ca_certs)


def signer(credentials: Any, region: str | None, service: str) -> Any:
    """Return what signs requests to a domain of AWS.

    :param credentials: botocore's credentials, which refresh themselves; None when AWS gives this process none
    :raises BadConnection: without credentials, or without a region
    """
    for there, name in ((credentials, "credentials"), (region, "region")):
        if not there:
            raise BadConnection(f"OpenSearch's requests cannot be signed: AWS has no {name} here. {aws.HOW_TO_SET_UP}")
    if service == "aoss":
        raise BadParams(
            "OpenSearch Serverless (aoss) cannot be used: it has no cluster health and settings, no refresh, no scroll "
            "and no snapshots, by which an index is checked before it is live. Use a managed domain (service es)"
        )
    return opensearchpy.Urllib3AWSV4SignerAuth(credentials, region, service)


def setting(name: str) -> str:
    """Return the value of an environment variable that has to be set.

    :raises BadParams: when it is not set
    """
    value = os.environ.get(name)
    if not value:
        raise BadParams(f'{name} is not set; for the local stack: eval "$(./dev env)"')
    return value


class _Answers(opensearchpy.JSONSerializer):
    """JSON, with a short cut for the usual answer to a bulk: every document was created.

    Parsing two objects per document, and collecting them as garbage, would be half of what a load costs this process.
    """

    _HEAD, _ITEM, _TAIL = '{"errors":false,"items":[', '{"create":{"status":201}}', "]}"

    def loads(self, s: str) -> Any:
        if s.startswith(self._HEAD):
            count = s.count(self._ITEM)
            # Not a character beside these items and their commas: nothing is left that could say otherwise.
            if count and len(s) == len(self._HEAD) + count * (len(self._ITEM) + 1) - 1 + len(self._TAIL):
                return {"errors": False, "items": [json.loads(self._ITEM)] * count}
        return super().loads(s)


class TooLarge(SearchSyncError):
    """The body was refused for its size (413): a smaller body may pass."""


class Overloaded(IndexUnavailable):
    """The whole request was refused because OpenSearch has too much to do (429): a smaller request may pass."""


class Backoff:
    """Exponential back-off with full jitter.

    :param patience: seconds without success after which ``wait`` raises ``IndexUnavailable``
    :param deadline: moment behind which there is no further attempt
    """

    def __init__(
        self,
        patience: float = PATIENCE_SECONDS,
        *,
        deadline: Deadline = NEVER,
        first: float = 0.2,
        longest: float = 10.0,
    ) -> None:
        self._patience = patience
        self._deadline = deadline
        self._began = time.monotonic()
        self._end = Deadline.within(patience)
        self._ceiling = first
        self._longest = longest

    def wait(self, cause: str) -> None:
        """Sleep before another attempt.

        :param cause: the last error, for the message
        :raises IndexUnavailable: when patience has run out
        """
        pause = random.uniform(self._ceiling / 2, self._ceiling)
        if pause > min(self._end, self._deadline).remaining:
            raise IndexUnavailable(
                f"gave up after {time.monotonic() - self._began:.0f} s of trying again; last answer: {cause}. Nothing "
                "was acknowledged; run the task again when OpenSearch is healthy"
            )
        log.warning("trying again in %.1f s: %s", pause, cause)
        time.sleep(pause)
        self._ceiling = min(self._ceiling * 2, self._longest)

    def progress(self) -> None:
        """Begin patience anew, because something was written: patience is measured since the last success."""
        self._end = Deadline.within(self._patience)


class Client(opensearchpy.OpenSearch):
    """A client of one cluster.

    :ivar deadline: moment by which each request has to be over, with all its attempts
    :ivar patience: seconds for which a request is tried again that does not say how long
    """

    deadline: Deadline = NEVER
    patience: float = PATIENCE_SECONDS

    def until(self, deadline: Deadline) -> Self:
        """Return the same client, sharing its connections, with an earlier deadline; a later one changes nothing."""
        other = copy.copy(self)
        other.deadline = min(self.deadline, deadline)
        return other

    def once(self) -> Self:
        """Return the same client, sharing its connections, which sends each request once."""
        other = copy.copy(self)
        other.patience = 0
        return other

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, Any] | None = None,
        patience: float | None = None,
    ) -> Any:
        """Send one request, and send it again while OpenSearch is away or overloaded.

        :param patience: seconds, None for the client's own; 0 for a request whose effect must be looked at before it
            may be repeated (a swap)
        :raises IndexUnavailable: when patience has run out, or the deadline has passed
        :raises RequestRejected: for any other refusal; ``status`` tells 404 from 400
        :raises BadConnection: when credentials, certificate or address are wrong
        """
        patience = self.patience if patience is None else patience
        backoff = Backoff(patience, deadline=self.deadline)
        while True:
            try:
                return self._attempt(method, path, params=params, body=body)
            except IndexUnavailable as error:
                if not patience:
                    raise
                backoff.wait(str(error))

    def read_text(self, path: str) -> str:
        """Return an answer that OpenSearch writes for people, in one attempt.

        :raises IndexUnavailable: when it does not answer; the other errors of ``request``, too
        """
        answer = self._send("GET", path)
        if not isinstance(answer, str):
            raise BadConnection(_NOT_OPENSEARCH.format(f"{path}: JSON in place of text"))
        return answer

    def send_bulk(self, index: str, body: bytes, count: int) -> list[dict[str, Any]]:
        """Send one ``_bulk`` of raw NDJSON, without retry.

        :param count: number of actions in the body
        :returns: for each action, in order: ``status`` and, when it failed, ``error``
        :raises IndexUnavailable: when the whole request is undecided (connection lost, overloaded, half an answer)
        :raises TooLarge: when the answer is 413
        :raises RequestRejected: when the whole request was refused
        """
        return self._items(f"/{index}/{BULK}", body, count)

    def look_up(self, index: str, ids: list[bytes]) -> list[dict[str, Any]]:
        """Return what is stored under some ids now, refreshed or not; without retry.

        :param ids: the ids, each as JSON
        :returns: for each id, in order: ``status``. Where there is a document also ``get``, with ``_seq_no``,
            ``_primary_term`` and ``_source.sync.position``, of whatever shape; otherwise ``error``
        :raises IndexUnavailable: as ``send_bulk``; it raises the other errors of ``send_bulk``, too
        """
        body = b"".join(b'{"update":{"_id":%b}}\n{"doc":{}}\n' % key for key in ids)
        return self._items(f"/{index}/{_LOOK_UP}", body, len(ids))

    def _items(self, path: str, body: bytes, count: int) -> list[dict[str, Any]]:
        began = time.monotonic()
        answer = self._attempt("POST", path, body=body, headers=_NDJSON)
        log.debug("%d actions, %d bytes: answered after %.1f ms", count, len(body), (time.monotonic() - began) * 1000)
        items = answer.get("items") if isinstance(answer, dict) else None
        if not isinstance(items, list) or len(items) != count:
            found = len(items) if isinstance(items, list) else "none"
            raise IndexUnavailable(
                f"{path.split('?', maxsplit=1)[0]}: {count} actions were answered with {found} items"
            )
        return [next(iter(item.values())) for item in items]

    def _attempt(self, method: str, path: str, **options: Any) -> Any:
        """Make one attempt, as ``_send``. Refuse an answer that is not JSON."""
        answer = self._send(method, path, **options)
        if not isinstance(answer, dict | list):
            raise BadConnection(_NOT_OPENSEARCH.format(str(answer)[:200]))
        return answer

    def _send(self, method: str, path: str, **options: Any) -> Any:
        """Send a request once, and wait no longer than the deadline allows. Raise one of our errors."""
        left = self.deadline.remaining
        if left <= 0:
            raise IndexUnavailable("no time was left to ask OpenSearch. Nothing was acknowledged; run the task again")
        if left < float("inf"):
            options["timeout"] = urllib3.Timeout(connect=min(left, CONNECT_SECONDS), read=min(left, ANSWER_SECONDS))
        with traces.request(method, path), _typed_errors():
            return self.transport.perform_request(method, path, **options)


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Raise one of our errors in place of opensearch-py's."""
    try:
        yield
    except os_errors.SSLError as error:
        raise BadConnection(
            f"TLS to OpenSearch failed: {_cause(error)}. Trust the right certificate authority (ca_certs) or correct "
            "the host"
        ) from None
    except os_errors.ConnectionError as error:  # includes time-outs and connections cut in the middle of an answer
        if isinstance(error.info, aws.NOT_SET_UP):
            raise BadConnection(f"OpenSearch's requests cannot be signed: {error.info}. {aws.HOW_TO_SET_UP}") from error
        raise IndexUnavailable(f"OpenSearch does not answer: {_cause(error)}") from error
    except os_errors.SerializationError as error:
        if isinstance(error.args[-1], ValueError):  # said to be JSON, and is not: broken off on its way
            raise IndexUnavailable(f"OpenSearch's answer broke off: {error.args[-1]}") from error
        raise BadConnection(_NOT_OPENSEARCH.format(str(error)[:200])) from None
    except os_errors.TransportError as error:
        raise _refusal(error) from error


_PASSES = {
    "snapshot_in_progress_exception": "a snapshot is being made of what was to be deleted or closed: ",
    "index_create_block_exception": "the domain creates no index now, as it does when disk space or memory is short: ",
}
"""Types of refusals that pass by themselves, whatever their status; each with the words that explain it."""


def _refusal(error: os_errors.TransportError) -> SearchSyncError:
    status = int(error.status_code) if str(error.status_code).isdigit() else 0
    error_type, reason = explain(error.info)
    said = f"{error_type or 'no error type'}: {reason}"[:1500]
    if 300 <= status < 400:
        return BadConnection(_NOT_OPENSEARCH.format(f"{status}, a redirect"))
    if status == 401 or (status == 403 and error_type not in ("cluster_block_exception", *_PASSES)):
        return BadConnection(
            f"OpenSearch answered {status} ({said}). Check the credentials of the connection and the permissions of "
            "its role"
        )
    if status == 413:
        return TooLarge(f"OpenSearch answered 413 ({said})")
    if status == 429 and error_type == "cluster_block_exception":
        return RequestRejected(flood_stage(reason), status=status, error_type=error_type)
    callers = refusals.is_callers(error.info.get("error") if isinstance(error.info, dict) else None)
    if status in (0, 408, 429) or (status >= 500 and not callers) or error_type in _PASSES:
        why = _PASSES.get(error_type, "")
        return (Overloaded if status == 429 else IndexUnavailable)(f"{why}OpenSearch answered {status} ({said})")
    return RequestRejected(f"OpenSearch answered {status} ({said})", status=status, error_type=error_type)


def explain(info: Any) -> tuple[str, str]:
    """Return ``error.type`` and ``error.reason`` (with the cause's) of an answer.

    An answer without them gives an empty type and the text of the answer.
    """
    error = info.get("error") if isinstance(info, dict) else None
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", str(info)[:200]
    causes = [cast(dict[str, Any], c) for c in (error, error.get("caused_by") or {})]
    reasons = dict.fromkeys(str(c["reason"]) for c in causes if c.get("reason"))
    return str(error.get("type", "")), "; ".join(reasons)


def flood_stage(reason: str) -> str:
    """Return the message for a full disk: why waiting does not help, and what does."""
    return (
        f"a node's disk is past the flood stage and its indexes are read-only ({reason}). Free disk space or add "
        "nodes; the block goes away by itself below the high watermark. Then run the task again"
    )


def _cause(error: os_errors.ConnectionError) -> str:
    return str(error.info if error.info is not None else error)[:300]
