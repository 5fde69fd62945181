"""A worker on ECS: protected while it works, and counted."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local import redis as local_redis
from search_ops import ecs_worker
from search_ops.ecs_worker import PROTECTED_MINUTES, RENEW_SECONDS, RETRY_SECONDS, Protection

REPO = Path(__file__).parents[2]

APP = """
import sys, time
sys.path.insert(0, "plugins")
from celery import Celery
from search_ops import ecs_worker
ecs_worker.LOOK_SECONDS, ecs_worker.METRIC_SECONDS = 0.1, 0.5
app = Celery(broker=sys.argv.pop(1), backend=None)
app.conf.update(imports=["search_ops.ecs_worker"], task_default_queue="default", task_acks_late=True,
                worker_prefetch_multiplier=1, worker_redirect_stdouts=False)
@app.task(name="work")
def work(seconds):
    time.sleep(seconds)
if sys.argv[1] == "send":
    for _ in range(int(sys.argv[2])):
        work.delay(float(sys.argv[3]))
else:
    app.worker_main(["worker", "--concurrency", "1", "--queues", "default", "--loglevel", "WARNING"])
"""
"""Celery as Airflow sets it up, without Airflow."""


class Agent:
    """Stands for ECS' agent.

    :ivar asked: what was asked, one body after the other
    :ivar refuses: whether it refuses what is asked
    :ivar breaks_off: whether its answers end too early
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refuses = self.breaks_off = False
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                assert self.path == "/api/abc/task-protection/v1/state"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                agent.asked.append(body)
                told: dict[str, Any] = {"protection": {**body, "TaskArn": "arn"}}
                if agent.refuses:
                    told = {"failure": {"Arn": "arn", "Reason": "DEPLOYMENT_BLOCKED"}}
                content = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + agent.breaks_off))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/abc"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def agent() -> Iterator[Agent]:
    found = Agent()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_it_is_protected_while_it_works_and_not_longer(agent: Agent) -> None:
    """A load that is stopped in its middle begins again at its last checkpoint; an idle worker costs money."""
    protection = Protection(agent.url)
    for busy, now in ((False, 0.0), (True, 1.0), (True, 2.0), (False, 3.0), (False, 4.0)):
        protection.set(busy, now)
    assert agent.asked == [
        {"ProtectionEnabled": True, "ExpiresInMinutes": PROTECTED_MINUTES},
        {"ProtectionEnabled": False},
    ]


def test_the_protection_does_not_end_before_the_work(agent: Agent) -> None:
    assert RENEW_SECONDS < PROTECTED_MINUTES * 60 / 2, "one failure more, and it would end"
    protection = Protection(agent.url)
    for now in range(0, 3600, 60):
        protection.set(True, float(now))
    assert [body["ProtectionEnabled"] for body in agent.asked] == [True] * int(3600 / RENEW_SECONDS)


def test_a_refusal_ends_nothing_and_is_asked_again(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    agent.refuses = True
    protection = Protection(agent.url)
    for now in (0.0, 1.0, RETRY_SECONDS - 1, RETRY_SECONDS + 1):
        protection.set(True, now)
    assert len(agent.asked) == 2
    assert "ECS did not protect this worker" in caplog.text
    assert "DEPLOYMENT_BLOCKED" in caplog.text
    agent.refuses = False
    protection.set(True, 3 * RETRY_SECONDS)
    protection.set(True, 3 * RETRY_SECONDS + 1)
    assert len(agent.asked) == 3


def test_an_agent_that_is_away_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Protection("http://127.0.0.1:1").set(True, 0.0)
    assert "ECS did not protect this worker" in caplog.text


def test_an_answer_that_breaks_off_ends_nothing(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """The thread would end: the worker would keep its last state, and not be counted any more."""
    agent.breaks_off = True
    Protection(agent.url).set(True, 0.0)
    assert "ECS did not protect this worker" in caplog.text


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compose file's workers import it, too, should somebody set them up like these."""
    monkeypatch.delenv(ecs_worker.AGENT, raising=False)
    before = threading.active_count()
    ecs_worker.begin(sender=None)
    assert threading.active_count() == before


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[local_redis.Server]:
    try:
        server = local_redis.start(tmp_path / "redis")
    except local_redis.NoRedis as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


def test_a_real_worker_is_protected_and_counts(agent: Agent, redis: local_redis.Server, tmp_path: Path) -> None:
    """The signal, the thread beside Celery's own processes, and what Redis says of the queue."""
    (tmp_path / "app.py").write_text(APP)
    command = [sys.executable, str(tmp_path / "app.py"), redis.url]
    subprocess.run([*command, "send", "3", "1"], cwd=REPO, check=True, timeout=60)
    environment = {**os.environ, ecs_worker.AGENT: agent.url, "C_FORCE_ROOT": "1"}
    lines: list[dict[str, Any]] = []
    with subprocess.Popen([*command, "work"], cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        threading.Timer(60, worker.kill).start()
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.startswith('{"_aws"'):
                lines.append(json.loads(line))
                if lines[-1]["QueuedTasks"] == lines[-1]["RunningTasks"] == 0:
                    break
        worker.kill()
    counted = [(line["QueuedTasks"], line["RunningTasks"]) for line in lines]
    assert any(queued > 0 and running > 0 for queued, running in counted), counted
    assert counted[-1] == (0, 0)
    asked = [body["ProtectionEnabled"] for body in agent.asked]
    assert asked[0] is True
    assert asked[-1] is False


def test_a_line_of_metrics_is_one_that_cloudwatch_reads() -> None:
    told = json.loads(ecs_worker.metrics(7, 3))
    (described,) = told["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "SearchSync"
    assert described["Dimensions"] == [["Service"]]
    assert {metric["Name"]: told[metric["Name"]] for metric in described["Metrics"]} == {
        "QueuedTasks": 7,
        "RunningTasks": 3,
    }


def test_airflow_gives_the_import_to_its_workers() -> None:
    """Airflow adds the folder of plugins to the path of a worker before Celery imports anything."""
    code = (
        "from airflow.providers.celery.executors.celery_executor_utils import app; app.loader.import_default_modules()"
    )
    environment = {
        **os.environ,
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps({"imports": ["search_ops.ecs_worker"]}),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
    }
    shown = "import airflow.settings; airflow.settings.initialize(); import sys; "
    check = "; assert 'search_ops.ecs_worker' in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", shown + code + check], env=environment, check=True)
