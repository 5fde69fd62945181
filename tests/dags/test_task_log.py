"""The log of a task: without its fields nobody finds the lines of a run, and CloudWatch must never hold up a task."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from local import opensearch as local_opensearch
from searchsync.cluster.client import Client
from searchsync.sampling import is_sampled
from tests.collector import collecting
from tests.faults import OpenSearchProxy

REPO = Path(__file__).parents[2]
FLUSH_SECONDS, PATIENCE_SECONDS = 5, 10
"""What the end of a task waits for CloudWatch at most; and what it takes otherwise on a machine that is busy."""
SAMPLED, NOT_SAMPLED = "r2", "r0"
GROUP = "/searchsync/airflow"
DAG = """
import logging

from airflow.sdk import dag, task

log = logging.getLogger("searchsync.example")


@dag(schedule=None, tags=["members"])
def members_seen():
    @task
    def good():
        from searchsync.telemetry import fields, metrics

        log.debug("a detail")
        logging.getLogger("botocore").debug("a detail of others")
        with fields.within(index="members-1"):
            log.info("wrote %d", 7)
            metrics.emit("Differences", 3, entity="members", index="members-1")

    @task
    def asks():
        from searchsync.catalog import entity
        from searchsync.cluster.client import connect_from_environment
        from searchsync.cluster.index import Index
        from searchsync.documents.page import Document, page_of
        from searchsync.writing import writer

        document = Document(b'"1"', b'{"name":"Ada"}', "", False)
        index = Index(connect_from_environment(), "seen")
        writer.load(index, [page_of([document], position="")], on_rejected=print)

    @task
    def bad():
        from searchsync.errors import IndexUnavailable

        raise IndexUnavailable("it is away")

    good()
    asks()
    bad()


members_seen()
"""
RUNS = {"run": f"members_seen/{SAMPLED}", "entity": "members"}


class Ran(NamedTuple):
    """What became of one task.

    :ivar ended: when its supervisor had ended, the waiting for CloudWatch included; seconds since the epoch
    :ivar lines: of its log file, as Airflow's page reads it
    """

    exit: int
    ended: float
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    (folder / "dags").mkdir()
    (folder / "dags" / "seen.py").write_text(DAG)
    return folder


def run(folder: Path, run_id: str, *tasks: str, **environment: str) -> list[Ran]:
    """Run tasks in a worker that has just started."""
    logs = folder / "logs"
    own = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
        **environment,
    }
    command = [sys.executable, "-m", "tests.dags.supervised", "seen.py", "members_seen", run_id, *tasks]
    for task in tasks:
        (logs / f"{task}.log").unlink(missing_ok=True)
    done = subprocess.run(command, cwd=REPO, env=os.environ | own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    ended = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"exit"')]
    return [
        Ran(end["exit"], end["ended"], [json.loads(line) for line in (logs / f"{task}.log").read_text().splitlines()])
        for task, end in zip(tasks, ended, strict=True)
    ]


def cloudwatch(endpoint: str) -> dict[str, str]:
    """Return what infra/modules/airflow/settings.tf tells Airflow of its logs, but for the address."""
    connection = {
        "conn_type": "aws",
        "login": "any",
        "password": "any",
        "extra": {"region_name": "eu-west-1", "endpoint_url": endpoint},
    }
    return {
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "search_ops.cloudwatch_logs.LOGGING_CONFIG",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"cloudwatch://arn:aws:logs:eu-west-1:123456789012:log-group:{GROUP}",
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "aws_default",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }


def logs_of(aws_url: str) -> Any:
    return boto3.client(
        "logs", endpoint_url=aws_url, region_name="eu-west-1", aws_access_key_id="any", aws_secret_access_key="any"
    )


def test_each_line_has_its_run_and_entity_and_a_metric_is_one(folder: Path, aws_url: str) -> None:
    assert is_sampled(f"members_seen/{SAMPLED}")
    logs = logs_of(aws_url)
    logs.create_log_group(logGroupName=GROUP)

    good, bad = run(folder, SAMPLED, "good", "bad", **cloudwatch(aws_url))

    assert (good.exit, bad.exit) == (0, 0), "the supervisor itself did its work"
    sent = [
        json.loads(event["message"])
        for task in ("good", "bad")
        for event in logs.get_log_events(logGroupName=GROUP, logStreamName=f"{task}.log", startFromHead=True)["events"]
    ]
    by_message = {line["message"]: line for line in sent}
    for line in sent:
        assert list(line)[:3] == ["timestamp", "level", "message"]
        assert "event" not in line
    said = by_message["wrote 7"]
    assert {**RUNS, "index": "members-1", "level": "info", "logger": "searchsync.example"}.items() <= said.items()
    assert by_message["a detail"]["level"] == "debug", "the run is one of those that are looked at closely"
    assert "a detail of others" not in by_message

    metric = by_message["metric"]
    [directive] = metric["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Entity"]]
    assert (metric["Entity"], metric["Differences"], metric["index"]) == ("members", 3, "members-1")

    assert by_message["task succeeded"]["duration_ms"] >= 0
    failed = by_message["task failed"]
    assert failed["error"] == "IndexUnavailable: it is away"
    assert {**RUNS, "level": "error"}.items() <= failed.items()
    raised = next(line for line in sent if line.get("error_detail"))
    assert raised["error"] == "IndexUnavailable: it is away"


def test_airflows_page_shows_the_lines_that_cloudwatch_has(folder: Path, aws_url: str) -> None:
    """It reads ``event``; without it the log of a task is empty on its page."""
    logs = logs_of(aws_url)
    logs.create_log_group(logGroupName="/other")
    logs.create_log_stream(logGroupName="/other", logStreamName="good.log")
    texts = json.dumps({"level": "info", "message": "wrote 7"}), "a line that is no JSON"
    events = [{"timestamp": int(time.time() * 1000), "message": text} for text in texts]
    logs.put_log_events(logGroupName="/other", logStreamName="good.log", logEvents=events)
    code = (
        "import airflow\n"  # which loads it, as in each of its processes
        "from search_ops.cloudwatch_logs import REMOTE_TASK_LOG\n"
        "print(*REMOTE_TASK_LOG.read('good.log', None)[1], sep='', end='')"
    )
    env = {name: text.replace(GROUP, "/other") for name, text in cloudwatch(aws_url).items()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | env, capture_output=True, text=True, check=True
    )
    shown = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["event"] for line in shown] == ["wrote 7", "a line that is no JSON"]


@pytest.fixture
def faulty_cloudwatch() -> Iterator[OpenSearchProxy]:
    proxy = OpenSearchProxy("http://127.0.0.1:9")
    yield proxy
    proxy.close()


@pytest.mark.parametrize("fault", ["answers nothing", "throttles"])
def test_cloudwatch_holds_up_no_task(fault: str, folder: Path, faulty_cloudwatch: OpenSearchProxy) -> None:
    """The provider's own class asks it whether the group is there, before each task, and fails the task otherwise."""
    released = threading.Event()
    if fault == "answers nothing":
        faulty_cloudwatch.before("", lambda: released.wait(60), times=None)
    else:
        body = {"__type": "ThrottlingException", "message": "Rate exceeded"}
        faulty_cloudwatch.answer("", 400, body, times=None, content_type="application/x-amz-json-1.1")

    [ran] = run(folder, NOT_SAMPLED, "good", **cloudwatch(faulty_cloudwatch.url))
    released.set()

    assert ran.exit == 0
    said = {line["event"]: line for line in ran.lines}
    assert "wrote 7" in said, "what CloudWatch did not take is in the file"
    assert "a detail" not in said, "a run that is not looked at closely"
    finished = datetime.fromisoformat(said["task succeeded"]["timestamp"]).timestamp()
    assert ran.ended - finished < FLUSH_SECONDS + PATIENCE_SECONDS
    assert faulty_cloudwatch.requests, "nothing was sent, so nothing was tried"


def test_the_trace_of_a_run_leads_through_its_tasks_to_bulk_requests(
    folder: Path, opensearch_server: local_opensearch.Server, client: Client
) -> None:
    """Without the run's context, or with that of another thread, a slow request could not be told whose it was."""
    client.request("PUT", "/seen")
    trace, run_span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collecting() as collector:
        # What infra/modules/airflow/settings.tf tells Airflow, but for the address.
        told = {
            "AIRFLOW__TRACES__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            "SEARCHSYNC_OPENSEARCH_URL": opensearch_server.url,
        }
        kept = run(folder, NOT_SAMPLED, "asks", **told, TRACEPARENT=f"00-{trace}-{run_span}-01")
        spans = list(collector.spans)
        other = run(folder, NOT_SAMPLED, "asks", **told, TRACEPARENT=f"00-{trace}-{run_span}-00")
    assert [ran.exit for ran in kept + other] == [0, 0]
    assert len(collector.spans) == len(spans), "a run of which no trace is kept"
    (task,) = [span for span in spans if span.name == "worker.asks"]
    assert (task.trace, task.parent) == (trace, run_span)
    asked = [span for span in spans if span.name == "opensearch _bulk"]
    assert len(asked) >= 1
    assert {(span.trace, span.parent) for span in asked} == {(trace, task.id)}
    assert asked[0].attributes["db.collection.name"] == "seen"
    assert not [span for span in spans if "Ada" in span.raw], "a document is in no trace"
