"""The daily snapshot: what is live can be had back, and nothing else is lost for it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local import opensearch as local_opensearch
from searchsync.cluster import snapshots
from searchsync.cluster.client import Client
from searchsync.cluster.snapshots import Repository, good
from searchsync.errors import BadParams, EmptyWriteSet, SnapshotFailed
from searchsync.recovery import snapshot, summary
from searchsync.recovery.records import BAD, COPIES, DRILL, GOOD, RUNNING, Records
from tests.faults import Answer, OpenSearchProxy, Request
from tests.integration.recovery.conftest import register
from tests.steps import until

AT = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
RUN = "index_snapshot/1"
BERLIN = ZoneInfo("Europe/Berlin")
LATER = datetime.now(UTC) + timedelta(days=800)


def alive(_: str) -> bool:
    return True


def dead(_: str) -> bool:
    return False


def save(client: Client, run: str = RUN) -> str:
    """Make a good snapshot; return its name."""
    saved = snapshot.save(client, run, AT)
    snapshot.verify(client, run, saved)
    return saved.name


def names(repository: Repository) -> set[str]:
    return {one["snapshot"] for one in repository.all("*")}


@pytest.fixture
def red(client: Client) -> str:
    """An index of the bookkeeping whose shard is nowhere."""
    settings = {"number_of_replicas": 0, "index.routing.allocation.include._name": "nowhere"}
    client.request("PUT", "/searchsync-red", body={"settings": settings}, params={"wait_for_active_shards": "0"})
    return "searchsync-red"


def test_what_is_live_and_the_bookkeeping_are_saved(client: Client, repository: Repository, live: str) -> None:
    client.request("PUT", f"/{COPIES}left-over")
    name = save(client)
    (found,) = snapshot.ours(repository)
    assert good(found)
    assert found["include_global_state"] is False
    assert {live, "searchsync-recovery"} <= set(found["indices"])
    assert not [index for index in found["indices"] if index.startswith(COPIES)], "what a drill left is not saved"
    assert found["metadata"] == {"made_by": snapshot.MADE_BY, "run": RUN}
    (record,) = Records(client).find("snapshot")
    assert (record["state"], record["snapshot"]) == (GOOD, name)
    at = record["details"]["live"]["locations"]
    assert at["index"] == live
    assert at["position"].startswith("0001.c")
    assert summary(client)["hours_since_snapshot"] < 1


def test_before_the_first_swap_there_is_nothing_to_save(client: Client, repository: Repository) -> None:
    with pytest.raises(EmptyWriteSet, match="nothing to save"):
        snapshot.save(client, RUN, AT)
    assert names(repository) == set()


def test_a_task_that_was_killed_finds_its_snapshot_and_goes_on_waiting(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    repository: Repository,
    live: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two snapshots of one night would cost twice, and the first would have no owner."""
    proxy.lose_answer("PUT /_snapshot")
    with pytest.raises(SnapshotFailed, match="Earlier ones were not touched"):
        snapshot.save(faulty, RUN, AT)

    def slow(_: Request, forward: Callable[[], Answer]) -> Answer:
        answer = forward()
        body = json.loads(answer.body)
        body["snapshots"][0] |= {"state": "IN_PROGRESS"}
        return Answer(answer.status, json.dumps(body).encode())

    waiting = proxy.add("GET /_snapshot", slow, times=3)
    saved = snapshot.save(faulty, RUN, AT)
    assert waiting.hits == 3
    assert sum(sent.startswith("PUT /_snapshot") for sent in proxy.requests) == 1
    assert snapshot.save(faulty, RUN, AT) == saved, "a good one is taken as done"
    assert names(repository) == {saved.name}
    monkeypatch.setattr(snapshots, "LONGEST_SECONDS", 0.0)
    proxy.add("GET /_snapshot", slow, times=None)
    with pytest.raises(SnapshotFailed, match="still in progress"):
        snapshot.save(faulty, RUN, AT)


def test_two_runs_at_once_both_save(client: Client, repository: Repository, live: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(lambda run: save(client, run), ("index_snapshot/1", "index_snapshot/2"))]
    assert names(repository) == set(found)
    assert all(good(one) for one in snapshot.ours(repository))


def test_a_shard_that_is_away_is_told_and_the_others_are_saved(
    client: Client, repository: Repository, live: str, red: str
) -> None:
    before = save_without(client, red)
    saved = snapshot.save(client, "index_snapshot/2", AT)
    with pytest.raises(SnapshotFailed, match=r"PARTIAL.*searchsync-red shard 0: primary shard is not allocated"):
        snapshot.verify(client, "index_snapshot/2", saved)
    known = summary(client)
    assert (known["snapshot"]["snapshot"], known["last_snapshot"]["state"]) == (before, BAD)
    assert snapshot.prune(client, dead, BERLIN)["deleted"] == [], "it is all that there is of this night"
    client.request("DELETE", f"/{red}")
    again = snapshot.save(client, "index_snapshot/2", AT)
    snapshot.verify(client, "index_snapshot/2", again)
    assert again.name == saved.name
    assert summary(client)["snapshot"]["snapshot"] == again.name


def save_without(client: Client, index: str) -> str:
    settings = client.request("GET", f"/{index}")[index]["settings"]["index"]
    client.request("DELETE", f"/{index}")
    name = save(client)
    wanted = {"number_of_replicas": 0, "routing": settings["routing"]}
    body = {"settings": {"index": wanted}}
    client.request("PUT", f"/{index}", body=body, params={"wait_for_active_shards": "0"})
    return name


def test_a_repository_that_cannot_be_written_changes_nothing(client: Client, repository: Repository, live: str) -> None:
    name = save(client)
    register(client, repository.name, readonly="true")
    with pytest.raises(SnapshotFailed, match="readonly"):
        snapshot.save(client, "index_snapshot/2", AT)
    client.request("DELETE", f"/_snapshot/{repository.name}")
    with pytest.raises(SnapshotFailed, match=r"repository_missing_exception.*_verify.*clear the task `save`"):
        snapshot.save(client, "index_snapshot/2", AT)
    assert summary(client)["last_snapshot"]["state"] == BAD
    register(client, repository.name)
    assert names(repository) == {name}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_repository_that_is_full_is_told_and_what_was_saved_stays(
    client: Client, repository: Repository, live: str, opensearch_server: local_opensearch.Server
) -> None:
    folder = opensearch_server.folder / "snapshots" / "small"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    try:
        body = {"type": "fs", "settings": {"location": "small"}}
        client.request("PUT", f"/_snapshot/{repository.name}", body=body)
        name = save(client)
        (folder / "filling").write_bytes(b"x" * (shutil.disk_usage(folder).free - 8192))
        with pytest.raises(
            SnapshotFailed, match=r"OpenSearch could not finish it. Is the repository full\?|PARTIAL|FAILED"
        ):
            snapshot.verify(client, "index_snapshot/2", snapshot.save(client, "index_snapshot/2", AT))
        assert summary(client)["last_snapshot"]["state"] == BAD
        (folder / "filling").unlink()
        again = save(client, "index_snapshot/2")
        assert {one["snapshot"] for one in snapshot.ours(repository) if good(one)} == {name, again}
    finally:
        client.request("DELETE", f"/_snapshot/{repository.name}")
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("_sm", {"sm_policy": {"name": "nightly", "snapshot_config": {"repository": "searchsync"}}}),
        (
            "_ism",
            {
                "policy": {
                    "policy_id": "nightly",
                    "states": [{"actions": [{"delete": {}}, {"snapshot": {"repository": "searchsync"}}]}],
                }
            },
        ),
    ],
)
def test_beside_a_policy_of_opensearch_nothing_is_saved_or_deleted(
    faulty: Client, proxy: OpenSearchProxy, repository: Repository, live: str, path: str, policy: dict[str, object]
) -> None:
    """The local distribution lacks the plugin: its answers are those of its documentation."""
    plugin = f"GET /_plugins/{path}/policies"
    mine = proxy.add(plugin, lambda _, __: Answer(200, json.dumps({"policies": [policy]}).encode()), times=1)
    with pytest.raises(BadParams, match=r"policy 'nightly' saves into the repository 'searchsync'.*Nothing was saved"):
        snapshot.save(faulty, RUN, AT)
    assert mine.hits == 1
    assert names(repository) == set()
    other = json.loads(json.dumps(policy).replace('"searchsync"', '"another"'))
    proxy.add(plugin, lambda _, __: Answer(200, json.dumps({"policies": [other]}).encode()), times=1)
    save(faulty)
    missing = {"error": {"type": "status_exception", "reason": "config index not found"}, "status": 404}
    proxy.add(plugin, lambda _, __: Answer(404, json.dumps(missing).encode()), times=1)
    save(faulty, "index_snapshot/2")


def test_retention_deletes_only_what_it_made_and_never_the_last_good_one(
    client: Client, repository: Repository, live: str, red: str
) -> None:
    first, last = (save_without(client, red) if n == 1 else _next(client, red, n) for n in (1, 2))
    repository.create("searchsync-by-hand", [live])
    repository.create(live, [live], metadata={"made_by": "somebody"})
    for name in ("searchsync-by-hand", live):
        repository.wait(name)
    partial = snapshot.save(client, "index_snapshot/3", AT).name
    others = {"searchsync-by-hand", live}
    assert snapshot.prune(client, dead, BERLIN) == {"kept": [last, partial], "deleted": [first], "used": []}
    assert names(repository) == {last, partial, *others}
    report = snapshot.prune(client, dead, BERLIN, LATER)
    assert report == {"kept": [last, partial], "deleted": [], "used": []}, "however old it is"
    newest = _next(client, red, 4)
    report = snapshot.prune(client, dead, BERLIN, LATER)
    assert report == {"kept": [newest], "deleted": [last, partial], "used": []}
    assert names(repository) == {newest, *others}
    assert snapshot.prune(client, dead, BERLIN, LATER)["deleted"] == []


def _next(client: Client, red: str, n: int) -> str:
    client.request("DELETE", f"/{red}")
    name = save(client, f"index_snapshot/{n}")
    settings = {"number_of_replicas": 0, "index.routing.allocation.include._name": "nowhere"}
    client.request("PUT", f"/{red}", body={"settings": settings}, params={"wait_for_active_shards": "0"})
    return name


def test_what_a_drill_or_a_restore_uses_is_deleted_another_time(
    client: Client, repository: Repository, live: str
) -> None:
    first, second = save(client), save(client, "index_snapshot/2")
    drill = {"kind": DRILL, "run": "recovery_drill/1", "entity": "locations", "state": RUNNING, "snapshot": first}
    Records(client).keep(drill)
    assert snapshot.prune(client, alive, BERLIN, LATER) == {"kept": [second], "deleted": [], "used": [first]}
    Records(client).keep({**drill, "state": BAD})

    register(client, repository.name, max_restore_bytes_per_sec="4kb")
    repository.restore(first, live, f"{COPIES}slow")
    try:
        assert snapshot.prune(client, dead, BERLIN, LATER)["used"] == [first]
    finally:
        client.request("DELETE", f"/{COPIES}slow")
    until(lambda: snapshot.prune(client, dead, BERLIN, LATER)["deleted"] == [first], "the restore has ended")


def test_what_cannot_be_deleted_is_told_and_the_next_run_deletes_it(
    faulty: Client, proxy: OpenSearchProxy, repository: Repository, live: str
) -> None:
    first = save(faulty)
    second = save(faulty, "index_snapshot/2")
    proxy.lose_answer("DELETE /_snapshot")
    with pytest.raises(SnapshotFailed, match=f"{first} could not be deleted"):
        snapshot.prune(faulty, dead, BERLIN, LATER)
    until(lambda: names(repository) == {second}, "the request whose answer was lost is done")
    assert snapshot.prune(faulty, dead, BERLIN, LATER)["kept"] == [second]
