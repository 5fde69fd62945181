"""What a Celery worker on Amazon ECS says of itself: that it is busy, and how many tasks wait.

Fargate ends a task 120 seconds after it was told to stop. A busy worker is therefore protected: neither scaling nor a
deployment stops it. The number of waiting tasks is the metric by which workers are added.

Airflow's workers import this (``[celery] extra_celery_config``). Elsewhere than on ECS it does nothing.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterable
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from celery.signals import worker_ready
from celery.worker import state

log = logging.getLogger(__name__)

AGENT = "ECS_AGENT_URI"
"""Variable with the address of ECS' agent. ECS sets it in each container."""

LOOK_SECONDS, RETRY_SECONDS, CALL_SECONDS = 1.0, 10.0, 5.0
PROTECTED_MINUTES, RENEW_SECONDS = 15, 300.0
"""A protection ends by itself, so a worker that hangs does not stay for ever. It is renewed while tasks run."""

METRIC_SECONDS = 60.0
"""Each worker counts once in a minute: scaling takes the number of samples for the number of workers."""


class Protection:
    """The protection of this ECS task against being stopped.

    :param agent: address of ECS' agent
    """

    def __init__(self, agent: str) -> None:
        self._url = f"{agent}/task-protection/v1/state"
        self._on = False
        self._renew_at = self._retry_at = 0.0

    def set(self, busy: bool, now: float) -> None:
        """Ask for protection while the worker is busy, and give it back afterwards. Ask again later when it fails.

        :param now: seconds of a clock that does not go back
        """
        is_due = busy != self._on or (busy and now >= self._renew_at)
        if not is_due or now < self._retry_at:
            return
        try:
            self._put(busy)
        except (OSError, HTTPException, ValueError) as error:  # no answer, half of one; no JSON, or a refusal
            log.warning("ECS did not %s this worker: %s", "protect" if busy else "release", error)
            self._retry_at = now + RETRY_SECONDS
        else:
            self._on, self._renew_at = busy, now + RENEW_SECONDS

    def _put(self, busy: bool) -> None:
        body: dict[str, Any] = {"ProtectionEnabled": busy}
        if busy:
            body["ExpiresInMinutes"] = PROTECTED_MINUTES
        headers = {"Content-Type": "application/json"}
        request = Request(self._url, json.dumps(body).encode(), headers, method="PUT")  # noqa: S310 - http, of ECS
        with urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310
            said = json.load(answer)
        if said.get("protection", {}).get("ProtectionEnabled") is not busy:
            raise ValueError(str(said)[:500])


def waiting(broker: str, queues: Iterable[str]) -> int:
    """Return how many tasks wait in some queues of Celery's.

    It uses a connection of its own: Celery's client shares state between threads, and this is not Celery's thread.

    :param broker: address of Redis or Valkey
    """
    import redis

    with redis.Redis.from_url(broker, socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS) as client:
        return sum(int(client.llen(name)) for name in queues)


def metrics(queued: int, running: int) -> str:
    """Return a line in CloudWatch's embedded metric format."""
    names = [{"Name": name, "Unit": "Count"} for name in ("QueuedTasks", "RunningTasks")]
    described = {"Namespace": "SearchSync", "Dimensions": [["Service"]], "Metrics": names}
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]}
    return json.dumps({"_aws": about, "Service": "airflow-worker", "QueuedTasks": queued, "RunningTasks": running})


def begin(sender: Any, **_: Any) -> None:
    """Watch the worker, in a thread of its main process, if ECS runs it."""
    if agent := os.environ.get(AGENT):
        threading.Thread(target=_watch, args=(sender.app, agent), name="ecs-worker", daemon=True).start()


def _watch(app: Any, agent: str) -> None:
    protection = Protection(agent)
    told, queues = time.monotonic(), [*app.amqp.queues.consume_from]
    while True:
        now = time.monotonic()
        running = len(state.reserved_requests)  # those that wait in this process included
        protection.set(running > 0, now)
        if now - told >= METRIC_SECONDS:
            told = now
            try:
                print(metrics(waiting(app.conf.broker_url, queues), running), flush=True)
            except Exception as error:  # the broker is away: of whatever kind its client makes it
                log.warning("the broker does not say how many tasks wait: %s", error)
        time.sleep(LOOK_SECONDS)


worker_ready.connect(begin)
