"""Silence is a failure: what stopped hours ago is said by something that does not depend on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from searchsync.cli import main
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.quality import health
from searchsync.quality.history import History
from searchsync.stream import gaps
from searchsync.stream.queue import Queue
from tests.members import World
from tests.steps import serve, until

NOW = datetime.now(UTC)


def test_nothing_live_is_a_problem(world: World) -> None:
    (problem,) = health.check(EntityIndexes(world.client, world.entity), world.feed)
    assert "run members_reindex" in problem


def test_all_is_well_after_a_swap_and_old_without_another(world: World) -> None:
    serve(world.client, world.entity)
    assert health.check(EntityIndexes(world.client, world.entity), world.feed) == []
    problem, unseen = health.check(
        EntityIndexes(world.client, world.entity), world.feed, now=NOW + timedelta(hours=200)
    )
    assert "h ago, 192 h are allowed" in problem
    assert "paused" in problem
    assert "was last compared in full" in unseen


def test_the_age_of_the_last_full_comparison_is_known_shown_and_checked(
    world: World, opensearch_server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scheduler was away at the hour of the nightly one: nothing ran, so nothing failed."""
    now = datetime.now(UTC)
    blue = serve(world.client, world.entity)
    later = now + timedelta(hours=40)
    (problem,) = health.check(EntityIndexes(world.client, world.entity), world.feed, now=later)
    assert "last compared in full 40" in problem
    assert "30 h are allowed" in problem
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", opensearch_server.url)
    assert main.main(["indexes", "members"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    at = head.index("COMPARED")
    assert line[at:].startswith("- ")
    for level, hours in (("full", 2), ("light", 1)):
        result = {"run": f"a {level} run", "index": blue, "entity": "members", "level": level, "verdict": "good"}
        History(world.client).keep(result | {"at": (now - timedelta(hours=hours)).isoformat(timespec="seconds")})
    assert health.check(EntityIndexes(world.client, world.entity), world.feed, now=now + timedelta(hours=27)) == []
    (problem,) = health.check(EntityIndexes(world.client, world.entity), world.feed, now=later)
    assert "last compared in full 40" in problem, "the gate of its reindex was later"
    assert main.main(["indexes", "members"]) == 0
    assert capsys.readouterr().out.splitlines()[1][at:].startswith("2h")


def test_a_sync_renews_it(world: World) -> None:
    blue = serve(world.client, world.entity)
    later = NOW + timedelta(hours=199)
    Index(world.client, blue).put_meta({**Index(world.client, blue).read_meta(), "synced_at": later.isoformat()})
    (unseen,) = health.check(EntityIndexes(world.client, world.entity), world.feed, now=NOW + timedelta(hours=200))
    assert "was last compared in full" in unseen


def test_gaps_blocks_and_a_full_queue_are_problems(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    blue = serve(world.client, world.entity)
    gap = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:01:00Z", "records": 5, "shard": "s"}
    gaps.note(EntityIndexes(world.client, world.entity), gap)
    world.client.request("PUT", f"/{blue}/_block/write")
    world.dead.send(["{}"] * 501)
    said = health.check(EntityIndexes(world.client, world.entity), world.feed)
    assert [word for text in said for word in ("blocked", "2026-01-01", "501 messages") if word in text] == [
        "blocked",
        "2026-01-01",
        "501 messages",
    ]


def test_a_message_that_waits_too_long_is_a_problem(world: World, include: Path) -> None:
    """Its age tells what a count does not: one message that no replay takes away."""
    serve(world.client, world.entity)
    world.dead.send(["{}"])
    assert health.check(EntityIndexes(world.client, world.entity), world.feed) == []
    file = include / "policies" / "freshness.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"oldest_message": 0}))
    until(lambda: bool(health.check(EntityIndexes(world.client, world.entity), world.feed)), "it is a whole second old")
    (said,) = health.check(EntityIndexes(world.client, world.entity), world.feed)
    assert "the oldest message" in said


def test_an_age_that_nobody_knows_is_a_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(world.client, world.entity)
    world.dead.send(["{}"])
    monkeypatch.setattr(Queue, "oldest", lambda *_: None)
    (said,) = health.check(EntityIndexes(world.client, world.entity), world.feed)
    assert "CloudWatch has no figure" in said


def test_the_exit_code_is_the_answer(
    world: World,
    opensearch_server: Any,
    aws_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "SEARCHSYNC_OPENSEARCH_URL": opensearch_server.url,
        "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": world.urls["dead"],
        "SEARCHSYNC_MEMBERS_PARKED_QUEUE": world.urls["parked"],
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    serve(world.client, world.entity)
    assert main.main(["indexes", "members", "--check"]) == 0
    assert main.main(["indexes", "--check"]) == 1
    assert "locations: nothing is live" in capsys.readouterr().err
    monkeypatch.delenv("SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE")
    assert main.main(["indexes", "members", "--check"]) == 1, "what is not looked at is not well"
    assert "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE is not set" in capsys.readouterr().err
