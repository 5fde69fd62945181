"""The files of a run, as Airflow's own API server shows them: to those who may see them, and no other file."""

import os
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.dags.pages import HOST, browser

RUN = "manual__2026-11-21T06:40:07.261906+00:00"
URL = "/searchsync/reports/locations_quality/manual__2026-11-21T06%3A40%3A07.261906%2B00%3A00"


@pytest.fixture
def reader(server: FastAPI) -> TestClient:
    return browser(server, "viewer")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run, in a folder of reports beside which is a secret."""
    monkeypatch.setenv("SEARCHSYNC_REPORTS", str(tmp_path / "reports"))
    folder = tmp_path / "reports" / "locations_quality" / RUN
    (folder / "data_docs").mkdir(parents=True)
    (folder / "summary.html").write_text("<h1>evidence</h1>")
    (folder / "data_docs" / "index.html").write_text("<h1>Data Docs</h1>")
    (tmp_path / "secret").write_text("secret")
    return folder


@pytest.mark.parametrize(("file", "content"), [("summary.html", "evidence"), ("data_docs/index.html", "Data Docs")])
def test_a_reader_sees_a_file_that_can_do_nothing_in_his_name(
    reader: TestClient, folder: Path, file: str, content: str
) -> None:
    answer = reader.get(f"{URL}/{file}")
    assert (answer.status_code, answer.text) == (200, f"<h1>{content}</h1>")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; connect-src 'none';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_a_browser_without_login_comes_back_after_it(server: FastAPI, folder: Path) -> None:
    answer = browser(server, None).get(f"{URL}/summary.html")
    assert answer.status_code == 307
    login = browser(server, None).get(answer.headers["location"])
    assert (login.status_code, login.url.params["next"]) == (307, f"{URL}/summary.html")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}])
def test_a_program_without_login_is_refused(server: FastAPI, folder: Path, headers: dict[str, str]) -> None:
    answer = TestClient(server, HOST).get(f"{URL}/summary.html", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


def test_a_user_without_a_role_is_refused(server: FastAPI, folder: Path) -> None:
    assert browser(server, "").get(f"{URL}/summary.html").status_code == 403


def test_access_is_asked_for_the_very_dag(reader: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Airflow's simple login knows no rights on a single DAG; others do.
    from airflow.api_fastapi.app import get_auth_manager

    def allowed(*, method: str, user: Any, access_entity: Any, details: Any) -> bool:
        return (method, details.id, access_entity.name) == ("GET", "locations_quality", "TASK_LOGS")

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", allowed)
    (folder.parents[1] / "members_quality").symlink_to(folder.parent)
    members = URL.replace("locations", "members")
    assert reader.get(f"{URL}/summary.html").status_code == 200
    assert reader.get(f"{members}/summary.html").status_code == 403
    assert reader.get(f"{members}/summary.html?dag_id=locations_quality").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "locations_quality/RUN/gone.html",
        "locations_quality/RUN/data_docs",
        "locations_quality/RUN/",
        "locations_quality/RUN/%2e%2e/%2e%2e/%2e%2e/secret",
        "locations_quality/RUN/..%2F..%2F..%2Fsecret",
        "locations_quality/RUN/data_docs/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret",
        "locations_quality/RUN/%252e%252e/secret",
        "locations_quality/RUN//SECRET",
        "locations_quality/RUN/%00",
        f"locations_quality/RUN/{'x' * 300}",
        "locations_quality/%2e%2e/members_quality/RUN/mine.html",
        "locations_quality/%2e%2e%2Fmembers_quality/RUN/mine.html",
        "locations_quality/RUN/%2e%2e/%2e%2e/members_quality/RUN/mine.html",
        "locations_quality/RUN/%2e%2e/OTHER/mine.html",
        "%2e%2e/reports/members_quality/RUN/mine.html",
        "%2e%2e/%2e%2e/SECRET",
        "%2e/members_quality/RUN/mine.html",
        "~/members_quality/RUN/mine.html",
        "locations_quality/RUN/out",
        "locations_quality/RUN/outside/secret",
        "locations_quality/RUN/theirs.html",
        "locations_quality/linked/mine.html",
        "locations_quality/RUN/circle",
        "locations_quality/RUN/pipe",
    ],
)
def test_nothing_else_is_shown(reader: TestClient, folder: Path, tmp_path: Path, path: str) -> None:
    for other in (tmp_path / "reports" / "members_quality" / RUN, folder.parent / "other"):
        other.mkdir(parents=True)
        (other / "mine.html").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "theirs.html").symlink_to(tmp_path / "reports" / "members_quality" / RUN / "mine.html")
    (folder.parent / "linked").symlink_to(tmp_path / "reports" / "members_quality" / RUN)
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")
    path = path.replace("SECRET", str(tmp_path / "secret")).replace("OTHER", "other").replace("RUN", RUN)
    answer = reader.get(f"/searchsync/reports/{path}")
    assert answer.status_code == 404
    assert "The API server has no file" in answer.json()["detail"]


def test_what_is_not_there_is_named_with_the_likely_cause(reader: TestClient, folder: Path) -> None:
    detail = reader.get(f"{URL}/gone.html").json()["detail"]
    for part in (f"locations_quality/{RUN}/gone.html", "cleaned up", "SEARCHSYNC_REPORTS"):
        assert part in detail
    assert str(folder.parents[1]) not in detail, "where files are on the server is nobody's business"


def test_reports_may_be_behind_a_link(
    reader: TestClient, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounted").symlink_to(tmp_path / "reports")
    monkeypatch.setenv("SEARCHSYNC_REPORTS", str(tmp_path / "mounted"))
    assert reader.get(f"{URL}/summary.html").status_code == 200


def test_nothing_can_be_written(reader: TestClient, folder: Path) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert reader.request(method, f"{URL}/summary.html").status_code == 405


def test_the_button_of_a_run_leads_to_its_summary(blue: str, dags: dict[str, Any], reader: TestClient) -> None:
    run = dags["locations_quality"].test(logical_date=None)

    def links(task_id: str) -> dict[str, str]:
        url = f"/api/v2/dags/locations_quality/dagRuns/{run.run_id}/taskInstances/{task_id}/links"
        found: dict[str, str] = reader.get(url).json()["extra_links"]
        return found

    page = reader.get(links("compare")["Evidence"]).text
    assert "the key is unique" in page
    assert 'href="data_docs/index.html"' in page
    assert links("announce") == {}


def test_the_button_is_where_there_is_evidence(dags: dict[str, Any]) -> None:
    from search_ops.evidence import EvidenceOperator

    found = {
        (dag.dag_id, task.task_id) for dag in dags.values() for task in dag.tasks if type(task) is EvidenceOperator
    }
    of_quality = {("locations_quality", "compare"), ("members_quality", "compare")}
    looks = {(dag_id, "look") for dag_id in ("capacity", "cluster_health", "preflight", "readiness", "slo_report")}
    assert found == {*of_quality, *looks, ("canary", "judge"), ("recovery_drill", "announce")}


@pytest.mark.parametrize("base_url", ["https://airflow.test/base", "https://airflow.test/base/", "/base"])
def test_airflow_may_live_below_a_path(
    server: FastAPI, folder: Path, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    from search_ops.evidence import path_of
    from search_ops.pages import app

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    below = FastAPI(root_path="/base")
    below.mount("/searchsync", app)
    path = path_of("locations_quality", RUN, "summary.html")
    assert path == f"/base{URL}/summary.html"
    assert browser(below, "viewer").get(path).status_code == 200
    location = browser(below, None).get(path).headers["location"]
    assert location.startswith("/base/api/v2/auth/login?next=%2Fbase%2Fsearchsync%2F")
