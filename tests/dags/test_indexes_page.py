"""The page *Indexes*: what it shows, to whom, and what it still shows when a server is away."""

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from local import opensearch as local_opensearch
from local import ports
from searchsync.catalog import CATALOG
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.quality.history import History
from searchsync.recovery.records import Records
from searchsync.stream import gaps
from tests.dags.pages import browser
from tests.faults import OpenSearchProxy
from tests.members import World
from tests.steps import make_index, make_red_index, serve

URL = "/searchsync/indexes"
LOCATIONS, MEMBERS = CATALOG["locations"], CATALOG["members"]
Ran = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a person wants to wait."""
    from search_ops.indexes_page import questions

    monkeypatch.setattr(questions, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(questions, "PART_SECONDS", 50.0)


@pytest.fixture
def reader(server: FastAPI, connected: Path) -> TestClient:
    return browser(server, "viewer")


@pytest.fixture
def operator(server: FastAPI, connected: Path) -> TestClient:
    return browser(server, "user")


@pytest.fixture
def ran(server: FastAPI) -> Iterator[Ran]:
    """Notes a run in Airflow's database."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import delete

    def note(dag_id: str, run_id: str, state: str) -> None:
        began = datetime.now(UTC) - timedelta(minutes=10)
        with create_session() as session:
            run = DagRun(dag_id=dag_id, run_id=run_id, run_type="manual", state=DagRunState(state), run_after=began)
            run.start_date = began
            run.end_date = None if state == "running" else began + timedelta(seconds=90)
            session.add(run)

    def forget() -> None:
        with create_session() as session:
            session.execute(delete(DagRun))

    forget()
    yield note
    forget()


@pytest.fixture
def proxy(opensearch_server: local_opensearch.Server, connect: Callable[..., None]) -> Iterator[OpenSearchProxy]:
    """A way to OpenSearch that can be made faulty, which the page takes."""
    proxy = OpenSearchProxy(opensearch_server.url)
    connect(proxy.port)
    yield proxy
    proxy.close()


def text_of(page: str) -> str:
    """What a person reads, with single spaces."""
    body = re.sub(r"(?s)<(style|script|title)\b.*?</\1>", " ", page)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def steps(page: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The steps on a page, by their text: the DAG and the values that each fills in."""
    found = {}
    for url, said in re.findall(r'<a href="([^"]*/indexes/start/[^"]*)">([^<]*)</a>', page):
        parts = urlsplit(html.unescape(url))
        conf = json.loads(parse_qs(parts.query).get("conf", ["{}"])[0])
        found[html.unescape(said)] = (parts.path.rpartition("/")[2], conf)
    return found


def result(index: str, **changes: Any) -> dict[str, Any]:
    """Of a quality run that compared everything and found nothing."""
    of = {"entity": index.partition("-")[0], "index": index, "live": True, "at": datetime.now(UTC).isoformat()}
    of |= {"level": "full", "verdict": "good", "failed": [], "problems": [], "confirmed": 0, "kinds": {}}
    of |= {"run": "locations_quality/manual__q", "source_documents": 7, "index_documents": 7, "operations": {}}
    return of | changes


def test_an_entity_is_shown_with_what_its_servers_and_airflow_know(
    operator: TestClient, client: Client, members: World, ran: Ran
) -> None:
    ran("members_reindex", "manual__1", "success")
    ran("members_reindex", "manual__3", "running")
    blue = serve(client, MEMBERS, "members_reindex/manual__1", identity=members.identity)
    green = serve(client, MEMBERS, "members_reindex/manual__2", blue=blue, identity=members.identity)
    building = make_index(client, MEMBERS, "members_reindex/manual__3", identity=members.identity)
    members.put("m-1", name="x")
    members.apply()
    members.dead.send(["{}", "{}"])
    client.request("POST", f"/{green}/_refresh")
    answer = operator.get(URL)
    assert answer.status_code == 200
    said = text_of(answer.text)
    assert f"{building} building " in said
    assert f"{blue} rollback candidate " in said
    assert re.search(rf"{green} live 1 [\d.]+ kB 1 shard", said), "documents, size and shards"
    assert "Dead-letter queue 2 messages" in said
    assert "Parked empty" in said
    assert "nothing was measured yet" in said, "freshness"
    assert "There is no index of locations yet" in said
    for part in ("runs/manual__1", "runs/manual__3", 'class="warn">running</a>', "/dags/members_dlq_replay"):
        assert part in answer.text
    assert "left over" not in said, "its run is under way"
    offered = steps(answer.text)
    assert offered[f"Roll back to {blue}"] == ("index_rollback", {"entity": "members", "index": blue})
    assert offered["Replay the dead-letter queue"] == ("members_dlq_replay", {})
    assert "Look through the parked messages" not in offered
    assert ("members_reindex", {}) not in offered.values(), "it is at work"


def test_what_is_wrong_is_named_and_leads_to_what_mends_it(
    operator: TestClient, client: Client, ran: Ran, members: World
) -> None:
    """Else a person rolls back to an index that lacks changes, or looks for the one that takes no writes."""
    ran("locations_reindex", "manual__dead", "failed")
    foreign = serve(client, LOCATIONS, "a/1", identity="9.9")
    lacking = serve(client, LOCATIONS, "a/2", blue=foreign)
    live = serve(client, LOCATIONS, "a/3", blue=lacking)
    left = make_index(client, LOCATIONS, "locations_reindex/manual__dead")
    indexes = EntityIndexes(client, LOCATIONS)
    gaps.note(indexes, {"from": "2026-11-30T00:00:00Z", "to": "2026-11-30T01:00:00Z", "why": "<b>disk</b>"})
    client.request("PUT", f"/{live}/_settings", body={"index.blocks.write": True})
    kept = History(client)
    kept.keep(result(live, run="locations_quality/manual__0", at="2026-11-29T00:00:00+00:00"))
    kept.keep(result(live, verdict="bad", confirmed=1234, kinds={"missing": 1234}, failed=["counts are equal"]))
    answer = operator.get(URL)
    said = text_of(answer.text)
    for part in (
        "no: it is blocked: index.blocks.write",
        "Gaps 1, from 2026-11-30T00:00:00Z: <b>disk</b>",
        "Last check bad: counts are equal",
        "1,234 differ (1,234 missing); 7 in the source",
        f"{left} building left over",
    ):
        assert part in said
    assert "<b>disk" not in answer.text, "what servers say is text, never markup"
    assert "/searchsync/reports/locations_quality/manual__q/summary.html" in answer.text
    assert re.search(r'<svg class="curve".*differences found by the last 2 comparisons.*: 0, 1234"', answer.text)
    offered = steps(answer.text)
    assert [name for name in offered if "Roll back" in name] == [], "one has a gap, one is another source's"
    full = {"level": "full", "repair": "on"}
    assert offered["Compare and repair the live index"] == ("locations_quality", full)
    assert offered[f"Compare and repair {lacking}"] == ("locations_quality", {"index": lacking, **full})
    dry = {"level": "full", "repair": "dry run"}
    assert offered["Count what a repair would write"] == ("locations_quality", dry)
    assert offered["Show what would be deleted"] == ("index_retire", {"dry_run": True})


def test_snapshots_and_drills_are_shown_and_offered(operator: TestClient, client: Client, members: World) -> None:
    live = serve(client, LOCATIONS, "a/1")
    assert steps(operator.get(URL).text)["Make a snapshot"] == ("index_snapshot", {})
    kept = Records(client)
    kept.keep({"kind": "snapshot", "run": "1", "state": "good", "snapshot": "s1", "repository": "r",
               "saved_at": "2026-11-30T00:00:00+00:00"})  # fmt: skip
    kept.keep({"kind": "drill", "run": "2", "entity": "members", "state": "good", "restore_seconds": 61.0})
    page = operator.get(URL).text
    assert live in page
    assert "Newest snapshot s1 in r, begun" in text_of(page)
    assert re.search(r"Last drill good; restored and caught up in 1 min 1 s; \d+ s ago", text_of(page))
    assert "Make a snapshot" not in steps(page)
    assert steps(page)["Try its recovery from a snapshot"] == ("recovery_drill", {"entity": "locations"})


def test_what_the_last_look_found_wrong_is_shown_where_it_belongs(
    reader: TestClient, connected: Path, client: Client, ran: Ran, members: World
) -> None:
    ran("cluster_health", "manual__1", "success")
    ran("cluster_health", "manual__2", "running")
    of = {"severity": "P1", "seen": "it has 9"}
    verdicts = [
        {**of, "state": "bad", "alarm": "dead-letters", "entity": "members"},
        {**of, "state": "unknown", "alarm": "cluster-red", "entity": "", "seen": "it is away"},
        {**of, "state": "unknown", "alarm": "cluster-heap", "entity": "", "seen": "it is away"},
        {**of, "state": "good", "alarm": "all-well", "entity": ""},
    ]
    folder = connected / "cluster_health" / "manual__1"
    folder.mkdir(parents=True)
    report = {"at": datetime.now(UTC).isoformat(), "bad": 1, "unknown": 2, "good": 1, "verdicts": verdicts}
    (folder / "health.json").write_text(json.dumps(report))
    page = reader.get(URL).text
    said = text_of(page)
    assert "State P1 dead-letters it has 9" in said[said.index("members from") :]
    shared = said[said.index("Of all entities") :]
    assert re.search(r"1 wrong, 2 unknown, 1 well; \d+ s ago Not known cluster-red, cluster-heap: it is away", shared)
    assert "all-well" not in said
    assert "/searchsync/reports/cluster_health/manual__1/summary.html" in page
    (folder / "health.json").unlink()
    missing = "Not known: checks: the API server has no file cluster_health/manual__1/health.json"
    assert missing in text_of(reader.get(URL).text)


def test_a_red_index_has_no_count_and_no_rollback(operator: TestClient, client: Client, members: World) -> None:
    live = serve(client, LOCATIONS, "a/1")
    red = make_red_index(client, LOCATIONS)
    client.request(
        "POST", "/_aliases", body={"actions": [{"add": {"index": red, "alias": "locations-served", "is_hidden": True}}]}
    )
    answer = operator.get(URL)
    assert re.search(rf"{red} rollback candidate red \? ", text_of(answer.text))
    assert "no: it is red: a primary shard is missing" in text_of(answer.text)
    assert live in answer.text
    assert not [name for name in steps(answer.text) if red in name]


def test_the_number_of_requests_does_not_grow_with_the_indexes(
    reader: TestClient, client: Client, proxy: OpenSearchProxy, members: World
) -> None:
    """Else the page takes seconds when there are many, and loads a cluster that is in trouble."""

    def asked() -> list[str]:
        proxy.requests.clear()
        assert reader.get(URL).status_code == 200
        return sorted(proxy.requests)

    serve(client, LOCATIONS, "a/1")
    few = asked()
    body = {"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"sync": {"type": "object"}}}}
    for n in range(10):
        client.request("PUT", f"/locations-20260101t000000-0000000{n}", body=body)
    assert asked() == few
    assert len(few) == 8 + len(CATALOG) + 1, f"the cluster's; the capacity of each; the freshness of members: {few}"


def test_what_opensearch_does_not_say_is_told_and_the_rest_is_shown(
    operator: TestClient, connect: Callable[..., None], ran: Ran, members: World
) -> None:
    """Then it is wanted most: what Airflow knows is there still."""
    ran("locations_reindex", "manual__1", "failed")
    connect(ports.choose())
    answer = operator.get(URL)
    said = text_of(answer.text)
    assert answer.status_code == 200
    assert "Not known: indexes, quality runs, capacity of locations, snapshots: OpenSearch does not answer" in said
    assert 'class="bad">failed</a>' in answer.text
    assert "Dead-letter queue empty" in said
    assert "There is no index" not in said, "nobody knows"
    assert steps(answer.text) == {}, "what can be wanted is not known"


def test_one_answer_that_is_late_holds_up_no_other(
    reader: TestClient, client: Client, proxy: OpenSearchProxy, members: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_ops.indexes_page import questions

    live = serve(client, LOCATIONS, "a/1")
    over = threading.Event()
    proxy.before("_stats", over.wait, times=None)
    monkeypatch.setattr(questions, "PART_SECONDS", 8.0)
    try:
        said = text_of(reader.get(URL).text)
    finally:
        over.set()
    assert "Not known: sizes: no answer within 8 s" in said
    assert re.search(rf"{live} live 0 \? ", said), "the size is not known, the documents are"


def test_postgresql_is_not_needed(
    reader: TestClient, connect: Callable[..., None], opensearch_server: local_opensearch.Server, members: World
) -> None:
    connect(opensearch_server.port, port=ports.choose())
    said = text_of(reader.get(URL).text)
    assert "There is no index of locations yet" in said
    assert "Not known" not in said


def test_a_browser_without_login_comes_back_after_it(server: FastAPI, connected: Path) -> None:
    answer = browser(server, None).get(f"{URL}/start/index_retire?conf=%7B%7D")
    assert answer.status_code == 307
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked == {"next": [f"{URL}/start/index_retire?conf=%7B%7D"]}


@pytest.mark.parametrize("path", [URL, f"{URL}/start/index_retire"])
def test_nothing_is_shown_to_those_who_may_not_see_it(server: FastAPI, client: Client, path: str) -> None:
    name = serve(client, LOCATIONS, "a/1")
    anonymous = TestClient(server).get(path)
    assert (anonymous.status_code, anonymous.json()) == (401, {"detail": "Not authenticated"})
    without_role = browser(server, "").get(path)
    assert (without_role.status_code, without_role.json()) == (403, {"detail": "Forbidden"})
    assert name not in anonymous.text + without_role.text


def test_each_entity_is_shown_to_those_who_may_see_its_runs(
    operator: TestClient, client: Client, ran: Ran, proxy: OpenSearchProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Airflow's simple login knows no rights on a single DAG; others do.
    from airflow.api_fastapi.app import get_auth_manager

    serve(client, LOCATIONS, "a/1")
    serve(client, MEMBERS, "a/2")
    ran("members_reindex", "manual__m", "success")

    def allowed(*, method: str, user: Any, access_entity: Any, details: Any) -> bool:
        mine = details.id in ("locations_reindex", "locations_quality")
        return access_entity.name == "RUN" and mine and (method, details.id) != ("POST", "locations_reindex")

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", allowed)
    answer = operator.get(URL)
    assert answer.status_code == 200
    assert "locations_quality" in answer.text
    for hidden in ("members", "locations_sync", "index_retire", "start/"):
        assert hidden not in answer.text
    assert not [request for request in proxy.requests if "members" in request]
    assert operator.get(f"{URL}/start/locations_quality").status_code == 200
    for other in ("locations_reindex", "members_reindex"):
        assert operator.get(f"{URL}/start/{other}?dag_id=locations_quality").status_code == 403


def test_the_form_fills_in_values_and_runs_nothing_itself(operator: TestClient, reader: TestClient, ran: Ran) -> None:
    url = f"{URL}/start/index_retire"
    assert reader.get(url).status_code == 403, "who may only look is offered no form"
    ran("index_retire", "manual__1", "running")
    answer = operator.get(url, params={"conf": '{"dry_run": "</textarea><script>alert(1)</script>"}'})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "A run is running already" in text_of(answer.text)
    assert "index_retire is paused" in text_of(answer.text)
    for conf in ("{", "[]", "1"):
        assert operator.get(url, params={"conf": conf}).status_code == 400
    assert operator.get(f"{URL}/start/nothing").status_code == 404
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert operator.request(method, URL).status_code == 405
        assert operator.request(method, url).status_code == 405


def test_the_pages_may_do_nothing_but_run_their_own_script(operator: TestClient) -> None:
    page, form = operator.get(URL).headers, operator.get(f"{URL}/start/index_retire").headers
    for headers in (page, form):
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        for part in ("form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
    assert "connect-src 'none'" in page["content-security-policy"]
    assert "connect-src 'self'" in form["content-security-policy"]


def test_airflow_may_live_below_a_path(
    server: FastAPI, connected: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_ops.pages import app

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.test/base")
    below = FastAPI(root_path="/base")
    below.mount("/searchsync", app)
    page = browser(below, "user").get(f"/base{URL}").text
    links = [html.unescape(url) for url in re.findall(r'href="([^#"][^"]*)"', page)]
    assert links
    assert all(url.startswith(("/base/dags/", "/base/searchsync/", "/base/")) for url in links)
    location = browser(below, None).get(f"/base{URL}").headers["location"]
    assert location == "/base/api/v2/auth/login?next=%2Fbase%2Fsearchsync%2Findexes"


def test_the_menu_leads_to_the_page(operator: TestClient) -> None:
    plugins = operator.get("/api/v2/plugins").json()["plugins"]
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "search_ops"]
    (entry,) = ours["external_views"]
    assert (entry["name"], entry["href"], entry["destination"], entry["url_route"]) == ("Indexes", URL, "nav", None)
