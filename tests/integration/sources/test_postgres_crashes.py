"""Whatever a crash does to PostgreSQL's transaction ids, a later commit has a later position, and no alarm is false."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import SourceChanged
from searchsync.operations import reindex
from searchsync.sources.postgres import PostgresSource
from tests.crashes import Crashing
from tests.steps import connector, insert, rebuild, until


@pytest.fixture(scope="module")
def crashing(servers_dir: Path) -> Iterator[Crashing]:
    crashing = Crashing(servers_dir / "crashing-ids")
    yield crashing
    crashing.stop()


def write(crashing: Crashing, name: str) -> None:
    with psycopg.connect(crashing.app.owner_dsn, autocommit=True) as owner:
        insert(owner, 1, name)


def read(source: PostgresSource) -> tuple[str, bytes]:
    (page,) = source.read(["1"])
    return page.position, page.body


@pytest.mark.parametrize("whole", [True, False], ids=["server", "one process"])
def test_ids_that_are_given_again_are_later_all_the_same(crashing: Crashing, locations: Entity, whole: bool) -> None:
    """The same reader goes on: its connection is gone, and that alone is no reason to fail."""
    write(crashing, "first")
    with closing(PostgresSource(locations, crashing.app.reader_dsn)) as source:
        if whole:
            crashing.abort()
        before, (position, body) = source.snapshot(), read(source)
        if whole:
            crashing.crash()
        else:
            started = postmaster(crashing)
            crashing.crash_one_process()
            assert postmaster(crashing) == started, "it is the same server that goes on"
        write(crashing, "second")
        after, (later, changed) = source.snapshot(), read(source)
        assert after.xmax < before.xmax or not whole, "no id was given a second time: nothing is proven"
        assert b"first" in body
        assert b"second" in changed
        assert later > position
        assert source.lost_history(position) == ""
        assert after.identity == before.identity


def postmaster(crashing: Crashing) -> Any:
    with psycopg.connect(crashing.server.dsn(), autocommit=True) as admin:
        return admin.execute("SELECT pg_postmaster_start_time()").fetchone()


def test_a_checkpoint_while_a_read_begins_makes_it_begin_again(
    crashing: Crashing, locations: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot may be of before or after the checkpoint, so no position is proven."""
    write(crashing, "first")
    with (
        closing(PostgresSource(locations, crashing.app.reader_dsn)) as source,
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(crashing.app.owner_dsn) as holder,
        psycopg.connect(crashing.server.dsn(), autocommit=True) as admin,
    ):
        source.check()
        take, taken = source._session._take_snapshot, []

        def noted(*arguments: Any, **options: Any) -> Any:
            taken.append(take(*arguments, **options))
            return taken[-1]

        monkeypatch.setattr(source._session, "_take_snapshot", noted)
        holder.execute("LOCK TABLE locations IN ACCESS EXCLUSIVE MODE")
        found = pool.submit(read, source)
        until(lambda: bool(admin.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall()), "the read waits")
        admin.execute("CHECKPOINT")
        holder.commit()
        position, _ = found.result(timeout=60)
        (before, first), (same, second) = taken
        assert before < first.snapshot.checkpoint == same == second.snapshot.checkpoint
        assert position == second.snapshot.position(1)


def test_a_reindex_after_commits_were_lost_makes_the_index_true_without_a_new_epoch(
    client: Client, crashing: Crashing, locations: Entity, tmp_path: Path
) -> None:
    """With ``synchronous_commit`` off a crash takes back what was read: the read that follows is later all the same."""
    write(crashing, "kept")
    connect = connector(locations, crashing.app.reader_dsn)
    rebuild(client, connect, tmp_path)
    crashing.abort(1)
    with psycopg.connect(crashing.app.owner_dsn, autocommit=True) as owner:
        owner.execute("SET synchronous_commit = off")
        insert(owner, 1, "lost")
    with closing(PostgresSource(locations, crashing.app.reader_dsn)) as source:
        assert b"lost" in read(source)[1]
        highest = rebuild(client, connect, tmp_path)["index"]
        crashing.crash()
        assert b"kept" in read(source)[1], "nothing was lost: it came to the disk before the crash"
    report = rebuild(client, connect, tmp_path)
    assert report["previous"] == highest
    hits = client.search(index=report["index"])["hits"]["hits"]
    assert [hit["_source"]["name"] for hit in hits] == ["kept"]


def test_a_server_that_was_put_back_is_refused_and_so_is_an_operators_other_name(
    client: Client, servers_dir: Path, locations: Entity, tmp_path: Path
) -> None:
    """A copy of the disk has the identity of its original."""
    folder = servers_dir / "put-back"
    shutil.rmtree(folder, ignore_errors=True)
    server = local_postgres.start(folder)
    try:
        app = local_postgres.create_app(server)
        server.stop()
        subprocess.run(["cp", "-a", folder / "data", folder / "copy"], check=True)
        server = local_postgres.start(folder, port=server.port)
        with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
            insert(owner, 1, "after the copy")
        connect = connector(locations, app.reader_dsn)
        blue = rebuild(client, connect, tmp_path)["index"]
        server.stop()
        shutil.rmtree(folder / "data")
        (folder / "copy").rename(folder / "data")
        server = local_postgres.start(folder, port=server.port)
        with pytest.raises(SourceChanged, match=f"put back to an earlier state.*{blue} goes on serving.*new_epoch"):
            rebuild(client, connect, tmp_path)
        with closing(PostgresSource(locations, app.reader_dsn, source_id="restored-2026")) as source:
            assert source.origin().endswith(".restored-2026")
            with pytest.raises(SourceChanged, match=f"restored-2026, but {blue} was built from"):
                reindex.check(EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None)
    finally:
        server.stop()
