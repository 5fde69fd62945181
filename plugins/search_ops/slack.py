"""One message to Slack, sent again while Slack is busy or away: an outage makes all DAGs fail in the same minute."""

import http.client
import logging
import random
import time
from typing import Any

from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryHandler, RetryState

log = logging.getLogger(__name__)

SEND_SECONDS = 25.0
"""Seconds after which a message is not sent again. Airflow kills a DAG's failure callbacks 50 s after their process
began (``[dag_processor] dag_file_processor_timeout``), and does not repeat them."""

CALLBACK_SECONDS = 40.0
"""Age in seconds of a callback's process after which nothing is sent again: one process runs the callbacks of all DAGs
of a file, one after the other, and each is to be sent once at least."""

ANSWER_SECONDS = 5
"""Seconds that one answer of Slack may take."""

MAX_TEXT = 2_900
"""Slack refuses a section of more than 3,000 characters."""


class Patience(RetryHandler):
    """Sends again after 429 (as late as Slack asks for), 5xx and lost connections, until a moment is reached.

    Each pause has a random part, which grows: those that were refused together do not come back together.

    :param end: of ``time.monotonic``
    """

    def __init__(self, end: float) -> None:
        super().__init__(max_retry_count=1_000)
        self._end = end

    def _can_retry(
        self,
        *,
        state: RetryState,  # noqa: ARG002
        request: HttpRequest,  # noqa: ARG002
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if time.monotonic() >= self._end:
            return False
        if response is not None:
            return response.status_code == 429 or response.status_code >= 500
        return isinstance(error, OSError | http.client.HTTPException)

    def prepare_for_next_attempt(
        self,
        *,
        state: RetryState,
        request: HttpRequest,  # noqa: ARG002
        response: HttpResponse | None = None,
        error: Exception | None = None,  # noqa: ARG002
    ) -> None:
        """Wait; the last attempt is made at the end, however late Slack wants it."""
        pause = _asked_for(response) + random.uniform(0.1, min(2.0 ** (state.current_attempt + 1), 8.0))
        time.sleep(max(0.0, min(pause, self._end - time.monotonic())))
        state.next_attempt_requested = True
        state.increment_current_attempt()


def _asked_for(response: HttpResponse | None) -> float:
    """Seconds of the header ``Retry-After``; 0 without one."""
    headers = response.headers if response is not None else {}
    value = next((values[0] for name, values in headers.items() if name.lower() == "retry-after"), "")
    return float(value) if value.isdecimal() else 0.0


def plain(text: str) -> str:
    """Return a text in which Slack finds no link and nobody to call, whoever wrote it: a key or a name may be in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, most: int) -> str:
    """Return the text as ``plain`` writes it, cut so that it has so many characters at most."""
    while len(told := plain(text)) > most:
        text = text[: len(text) - max(1, (len(told) - most) // 5)]
    return told


def send(*lines: str, seconds: float = SEND_SECONDS) -> bool:
    """One message. What cannot be sent is logged in full; nothing is raised. Return whether Slack took it.

    Lines may hold what sources and servers said: it is shown as it is, and means nothing to Slack but its bold type.

    :param seconds: how long it is sent again
    """
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    from search_ops.hook import SLACK

    text = "\n".join(lines)
    handlers: list[Any] = [Patience(time.monotonic() + seconds)]
    try:
        section = {"type": "section", "text": {"type": "mrkdwn", "text": shortened(text, MAX_TEXT)}}
        hook = SlackWebhookHook(slack_webhook_conn_id=SLACK, timeout=ANSWER_SECONDS, retry_handlers=handlers)
        hook.send(text=shortened(text, 200), blocks=[section])
    except Exception:
        log.exception("the alert could not be sent to Slack:\n%s", text)
        return False
    return True


def seconds_of_callback() -> float:
    """How long this process, which runs callbacks, may go on sending a message again."""
    import psutil

    age = time.time() - psutil.Process().create_time()
    return max(0.0, min(SEND_SECONDS, CALLBACK_SECONDS - age))
