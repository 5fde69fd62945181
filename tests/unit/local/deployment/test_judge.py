"""Traffic goes on after a pass alone: whatever else an Airflow says, or does not say, is none."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local.airflow_api import AirflowApi
from local.deployment import functions
from local.deployment.judge import Judge, Shared, Versions, airflow
from local.deployment.shares import AlarmFired, JudgedBad, Shares, Undecided
from tests.unit.local.deployment.conftest import Says, alarm
from tests.unit.local.deployment.test_functions import Shift, routed

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
VERSIONS = Versions("members-stream", "function", "1", "2", entity="members")
SHARED = Shared(VERSIONS, 0.1, NOW - timedelta(minutes=16), NOW - timedelta(minutes=40))


class Airflow(BaseHTTPRequestHandler):
    """Answers as Airflow does about one run of `canary`."""

    state, result, known, asked = "success", {"verdict": "pass", "why": "as good"}, True, list[Any]()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        answer: Any = {"access_token": "any"}
        if self.path.endswith("/dagRuns"):
            type(self).asked.append(body["conf"])
            answer = {"dag_run_id": "r1"}
        elif "xcomEntries" in self.path:
            answer = {"value": self.result}
        elif "taskInstances" in self.path:
            task = {"task_id": "announce", "state": "success", "map_index": -1, "start_date": None}
            answer = {"task_instances": [task]}
        elif self.path.startswith("/api/v2/dags/canary/dagRuns/"):
            answer = {"state": self.state, "start_date": None, "end_date": None}
        elif self.path.startswith("/api/v2/dags/"):
            answer = {"dag_id": "canary"}
        there = self.known or "token" in self.path
        data = json.dumps(answer if there else {"detail": "no such DAG"}).encode()
        self.send_response(200 if there else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def asked(**says: Any) -> Iterator[tuple[Judge, list[Any]]]:
    handler = type("Said", (Airflow,), {"asked": [], **says})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield Judge(lambda: AirflowApi(url, "admin", "secret"), "abc"), handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


def test_the_question_is_of_whole_minutes_that_cloudwatch_has() -> None:
    with asked() as (judge, questions):
        assert judge.verdict(SHARED, NOW) == ("pass", "as good")
    assert questions == [
        {
            "subject": "function",
            "entity": "members",
            "stage": 10,
            "deployment": "abc",
            "baseline": "1",
            "canary": "2",
            "names": None,
            "since": "2026-11-30T11:44:00+00:00",
            "until": "2026-11-30T11:58:00+00:00",
            "before": "2026-11-30T11:20:00+00:00",
        }
    ]


@pytest.mark.parametrize(
    ("says", "verdict", "why"),
    [
        ({"result": {"verdict": "fail", "why": "errors"}}, "fail", "errors"),
        ({"result": {"verdict": "inconclusive", "why": "few"}}, "inconclusive", "few"),
        ({"result": {"verdict": "passed", "why": "?"}}, "inconclusive", "?"),
        ({"result": None}, "inconclusive", "has no verdict"),
        ({"state": "failed"}, "inconclusive", "has no verdict"),
        ({"known": False}, "inconclusive", "no such DAG"),
    ],
)
def test_only_a_verdict_is_one(says: dict[str, Any], verdict: str, why: str) -> None:
    with asked(**says) as (judge, _):
        found = judge.verdict(SHARED, NOW)
    assert found[0] == verdict
    assert why in found[1]


def test_an_airflow_that_is_away_is_no_verdict() -> None:
    verdict, why = Judge(lambda: AirflowApi("http://127.0.0.1:9", "admin", "secret"), "abc").verdict(SHARED, NOW)
    assert verdict == "inconclusive"
    assert "nobody could be asked" in why
    assert "secret" not in why


def test_a_login_that_is_not_there_is_no_verdict(aws: dict[str, Any]) -> None:
    judge = Judge(lambda: airflow("search.example.org", aws["secretsmanager"]), "abc")
    assert judge.verdict(SHARED, NOW)[0] == "inconclusive"
    aws["secretsmanager"].create_secret(Name="searchsync/airflow-login", SecretString="secret")
    api = airflow("search.example.org", aws["secretsmanager"])
    assert api.url == "https://airflow.search.example.org"
    assert "secret" not in repr(api)


Begin = Callable[..., tuple[Shift, Says, list[str]]]


@pytest.fixture
def begin(aws: dict[str, Any], function: str) -> Begin:
    alarm(aws, "searchsync-members-errors")

    def make(*verdicts: str) -> tuple[Shift, Says, list[str]]:
        said: list[str] = []
        judge = Says(*verdicts)
        shares = Shares(aws["cloudwatch"], 0.0, said.append, judge)  # type: ignore[arg-type]
        return (lambda before: functions.to_newest(aws["lambda"], shares, before)), judge, said

    return make


def test_each_share_waits_for_its_pass(aws: dict[str, Any], function: str, begin: Begin) -> None:
    shift, judge, said = begin("pass", "pass", "pass")
    assert shift({function: "1"}) == {function: "2"}
    assert [one.share for one in judge.asked] == [0.1, 0.5, 1.0]
    assert len({one.began for one in judge.asked}) == 1
    assert judge.asked[0].began <= judge.asked[0].since < judge.asked[1].since
    assert f"{function}: pass: because" in said


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_a_version_that_is_worse_gets_nothing_any_more(
    aws: dict[str, Any], function: str, begin: Begin, passes: int
) -> None:
    shift, _, _ = begin(*["pass"] * passes, "fail")
    with pytest.raises(JudgedBad, match=r"worse than the one before: members-stream \(because\). It gets none"):
        shift({function: "1"})
    assert routed(aws, function) == ("1", {})


@pytest.mark.parametrize(("passes", "left"), [(0, ("1", {"2": 0.1})), (1, ("1", {"2": 0.5})), (2, ("2", {}))])
def test_what_cannot_be_said_stops_where_it_is(
    aws: dict[str, Any], function: str, begin: Begin, passes: int, left: Any
) -> None:
    shift, judge, _ = begin(*["pass"] * passes, "inconclusive")
    with pytest.raises(Undecided, match=r"cannot be said .*It keeps that share, and gets no more"):
        shift({function: "1"})
    assert routed(aws, function) == left
    assert len(judge.asked) == passes + 1


@pytest.mark.parametrize("verdict", ["pass", "inconclusive"])
@pytest.mark.parametrize("share", [1, 2, 3])
def test_an_alarm_while_a_verdict_is_waited_for_takes_the_version_back(
    aws: dict[str, Any], function: str, begin: Begin, verdict: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict may take ten minutes, and after the last one nothing would look at alarms any more."""
    shift, judge, _ = begin(*["pass"] * (share - 1), verdict)
    ask = judge.verdict

    def late(shared: Shared) -> tuple[str, str]:
        if len(judge.asked) == share - 1:
            alarm(aws, "searchsync-members-errors", state="ALARM")
        return ask(shared)

    monkeypatch.setattr(judge, "verdict", late)
    with pytest.raises(AlarmFired, match="searchsync-members-errors"):
        shift({function: "1"})
    assert routed(aws, function) == ("1", {})
