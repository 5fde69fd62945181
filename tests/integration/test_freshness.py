"""Silence is a failure: what stopped hours ago is said by something that does not depend on it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from searchsync import cli, freshness, gaps, indexes
from searchsync.opensearch import request
from tests.members import World
from tests.steps import serve

NOW = datetime.now(UTC)


def test_nothing_live_is_a_problem(world: World) -> None:
    assert freshness.check(world.client, world.entity) == ["members: nothing is live; run members_reindex"]


def test_all_is_well_after_a_swap_and_old_without_another(world: World) -> None:
    serve(world.client, world.entity)
    assert freshness.check(world.client, world.entity, world.dead) == []
    (problem,) = freshness.check(world.client, world.entity, world.dead, now=NOW + timedelta(hours=200))
    assert "h ago, 192 h are allowed" in problem
    assert "paused" in problem


def test_a_sync_renews_it(world: World) -> None:
    blue = serve(world.client, world.entity)
    later = NOW + timedelta(hours=199)
    indexes.put_meta(world.client, blue, {**indexes.meta_of(world.client, blue), "synced_at": later.isoformat()})
    assert freshness.check(world.client, world.entity, now=NOW + timedelta(hours=200)) == []


def test_gaps_blocks_and_a_full_queue_are_problems(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    blue = serve(world.client, world.entity)
    gap = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:01:00Z", "records": 5, "shard": "s"}
    gaps.note(world.client, world.entity, gap)
    request(world.client, "PUT", f"/{blue}/_block/write")
    world.dead.send(["{}"] * 501)
    said = freshness.check(world.client, world.entity, world.dead)
    assert [word for text in said for word in ("blocked", "2026-01-01", "501 messages") if word in text] == [
        "blocked",
        "2026-01-01",
        "501 messages",
    ]


def test_the_exit_code_is_the_answer(
    world: World, opensearch_server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", opensearch_server.url)
    monkeypatch.delenv("SEARCHSYNC_DEAD_LETTER_QUEUE", raising=False)
    serve(world.client, world.entity)
    assert cli.main(["indexes", "members", "--check"]) == 0
    assert cli.main(["indexes", "--check"]) == 1
    assert "locations: nothing is live" in capsys.readouterr().err
