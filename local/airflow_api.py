"""The part of Airflow's REST API that starting, watching and explaining a run takes."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.errors import LocalError

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for loopback


class Refused(LocalError):
    """Airflow answered with an error; the message is Airflow's own. `status` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"Airflow refused: {detail} (HTTP {status})")
        self.status = status


class Unanswered(LocalError):
    """Nothing that speaks Airflow's language answers at the address."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"Airflow does not answer at {url} ({reason}): `./dev status` shows what runs")


@dataclass(slots=True)
class AirflowApi:
    """A logged-in client. Not thread-safe.

    :param url: without a trailing slash.
    """

    url: str
    user: str
    password: str = field(repr=False)
    _token: str = field(default="", repr=False)

    def health(self) -> dict[str, Any]:
        """The health report; needs no login."""
        return _send_once(urllib.request.Request(f"{self.url}/api/v2/monitor/health"), timeout=5)

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG that Airflow has read and that still has a file."""
        found: list[dict[str, Any]] = self._call("GET", "/dags?limit=500")["dags"]
        return [dag for dag in found if not dag.get("is_stale")]

    def dag(self, dag_id: str) -> dict[str, Any]:
        return self._call("GET", f"/dags/{_quoted(dag_id)}")

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/dags/{_quoted(dag_id)}", {"is_paused": False})

    def pause(self, dag_id: str) -> None:
        self._call("PATCH", f"/dags/{_quoted(dag_id)}", {"is_paused": True})

    def forget_events(self, dag_id: str) -> None:
        """Drop the updates of assets that would start a run of a DAG as soon as it is unpaused."""
        try:
            self._call("DELETE", f"/dags/{_quoted(dag_id)}/assets/queuedEvents")
        except Refused as error:
            if error.status != 404:  # there are none
                raise

    def import_errors(self) -> list[str]:
        """One line per DAG file that can not be read."""
        found = self._call("GET", "/importErrors?limit=50")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in found]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand. Returns its id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self._call("POST", f"/dags/{_quoted(dag_id)}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str, *, states: tuple[str, ...] = (), since: datetime | None = None) -> list[dict[str, Any]]:
        """Runs of a DAG, newest first, optionally only those in `states` or due (`run_after`) not before `since`."""
        query = [("limit", "100"), ("order_by", "-run_after"), *(("state", state) for state in states)]
        if since is not None:
            query.append(("run_after_gte", since.isoformat()))
        found: list[dict[str, Any]] = self._call(
            "GET", f"/dags/{_quoted(dag_id)}/dagRuns?{urllib.parse.urlencode(query)}"
        )["dag_runs"]
        return found

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self._call("GET", _run_path(dag_id, run_id))

    def fail(self, dag_id: str, run_id: str) -> None:
        """Mark a run failed, and its unfinished tasks with it."""
        self._call("PATCH", _run_path(dag_id, run_id), {"state": "failed"})

    def clear_failed(self, dag_id: str, run_id: str) -> None:
        """Let a run go on from the tasks that failed, and those that were not begun because of them."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": True, "reset_dag_runs": True}
        self._call("POST", f"/dags/{_quoted(dag_id)}/clearTaskInstances", body)

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, one per map index."""
        found: list[dict[str, Any]] = self._call("GET", f"{_run_path(dag_id, run_id)}/taskInstances?limit=1000")[
            "task_instances"
        ]
        return found

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned; None if it returned nothing."""
        try:
            entry = self._call(
                "GET", f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/return_value?deserialize=true"
            )
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return entry.get("value")

    def log(self, task: Mapping[str, Any], lines: int = 12) -> list[str]:
        """The last lines that the last attempt of a task logged."""
        path = f"{_task_path(task['dag_id'], task['dag_run_id'], task['task_id'])}/logs/{max(1, task['try_number'])}"
        content = self._call("GET", f"{path}?map_index={task['map_index']}&full_content=true")["content"]
        shown = [line for entry in content for line in _log_lines(entry) if not line.startswith("::")]  # folding marks
        return shown[-lines:]

    def ensure_pool(self, name: str, slots: int) -> None:
        """Make a pool unless it exists: a person may have changed its size."""
        try:
            self._call(
                "POST",
                "/pools",
                {"name": name, "slots": slots, "description": "bulk requests that load an index at once"},
            )
        except Refused as error:
            if error.status != 409:
                raise

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        for attempt in range(2):
            headers = {
                "Accept": "application/json",
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self._login()}",
            }
            data = None if body is None else json.dumps(body).encode()
            try:
                return _send(
                    urllib.request.Request(f"{self.url}/api/v2{path}", data=data, headers=headers, method=method),
                    timeout=30,
                )
            except Refused as error:
                if error.status != 401 or attempt:
                    raise
                self._token = ""  # expired, or from before a restart
        raise AssertionError("unreachable")

    def _login(self) -> str:
        if not self._token:
            body = json.dumps({"username": self.user, "password": self.password}).encode()
            request = urllib.request.Request(
                f"{self.url}/auth/token", data=body, headers={"Content-Type": "application/json"}
            )
            self._token = str(_send(request, timeout=30)["access_token"])
        return self._token


def _send(request: urllib.request.Request, *, timeout: float) -> dict[str, Any]:
    """Ask, and ask again if the server has an unlucky moment and asking twice does no harm."""
    for patience in (0.5, 1.0, 2.0) if request.get_method() == "GET" else ():
        try:
            return _send_once(request, timeout=timeout)
        except Refused as error:
            if error.status < 500:
                raise
        except Unanswered:
            pass
        time.sleep(patience)
    return _send_once(request, timeout=timeout)


def _send_once(request: urllib.request.Request, *, timeout: float) -> dict[str, Any]:
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            text = response.read()
        value = json.loads(text) if text else {}
    except urllib.error.HTTPError as error:
        raise Refused(error.code, _detail(error)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        address = urllib.parse.urlsplit(request.full_url)
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unanswered(f"{address.scheme}://{address.netloc}", reason) from None
    return value if isinstance(value, dict) else {"value": value}


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        detail = json.loads(error.read())["detail"]
    except (ValueError, KeyError, TypeError):
        return error.reason
    return detail.split("\n\n")[0] if isinstance(detail, str) else json.dumps(detail)[:600]


def _log_lines(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return entry.splitlines()
    lines = str(entry.get("event", "")).splitlines()
    for problem in entry.get("error_detail") or []:
        lines.append(f"{problem.get('exc_type')}: {problem.get('exc_value')}")
    return lines


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}"


def _task_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run_path(dag_id, run_id)}/taskInstances/{_quoted(task_id)}"


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
