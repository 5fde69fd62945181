"""What the page asks of servers: how much of OpenSearch does not depend on the number of indexes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from search_ops import hook
from search_ops.indexes_page.together import together
from search_ops.runs import reports_dir

# Here, and not where they are needed: to load them takes longer than an answer may.
from searchsync import capacity, freshness, recovery
from searchsync.catalog import Entity
from searchsync.cluster import figures
from searchsync.deadline import Deadline
from searchsync.errors import SearchSyncError
from searchsync.health.report import DATA
from searchsync.quality.history import History
from searchsync.stream import gaps

if TYPE_CHECKING:
    from searchsync.connections import Connections

ANSWER_SECONDS = 2.0
"""Seconds that a page waits for all answers together; what is not there by then, it says so."""

PART_SECONDS = ANSWER_SECONDS * 0.95
"""Seconds for the questions to one server: so that it is told which of them is missing."""

MOST_RESULTS = 40
"""Quality runs of each entity that are read: what the curve shows."""


@dataclass(frozen=True)
class Queues:
    """Messages of an entity.

    :ivar waiting: those for the next replay
    :ivar parked: those that wait for a person
    :ivar oldest: seconds that the oldest of the waiting ones has waited; None when CloudWatch has no figure
    """

    waiting: int
    parked: int
    oldest: float | None


def ask(entities: Sequence[Entity], checks: str) -> dict[str, Any]:
    """Return each answer by its name, or the error that came instead of it.

    The names are those of ``_of_opensearch``, ``queues of`` each entity that has queues, and ``checks``.

    :param checks: a run of ``cluster_health``, whose report is read; empty for none
    """
    parts: dict[str, Callable[[], Any]] = {}
    if entities:
        parts = {"indexes": lambda: _of_opensearch(entities), "queues": lambda: _of_queues(entities)}
    if checks:
        parts["checks"] = lambda: {"checks": _report(checks)}
    answers: dict[str, Any] = {}
    for part, found in together(parts, seconds=ANSWER_SECONDS).items():
        answers |= found if isinstance(found, dict) else {part: found}
    return answers


def _of_opensearch(entities: Sequence[Entity]) -> dict[str, Any]:
    client = hook.opensearch(timeout=ANSWER_SECONDS).until(Deadline.within(ANSWER_SECONDS)).once()
    of_each: dict[str, Callable[[], Any]] = {}
    for entity in entities:
        of_each[f"capacity of {entity.name}"] = partial(capacity.summary, client, entity)
        if entity.source == "dynamodb":  # what syncs brought, the index itself says
            of_each[f"freshness of {entity.name}"] = partial(freshness.summary, client, entity)
    return together(
        {
            "indexes": lambda: figures.indexes_of(client, entities),
            "health": lambda: figures.health_of(client),
            "sizes": lambda: figures.shards_of(client, entities),
            "documents": lambda: figures.documents_of(client, entities),
            "quality runs": lambda: History(client).of_all(entities, most=MOST_RESULTS),
            "gaps": lambda: gaps.of_all(client),
            "snapshots": lambda: recovery.summary(client),
            **of_each,
        },
        seconds=PART_SECONDS,
    )


def _of_queues(entities: Sequence[Entity]) -> dict[str, Any]:
    fed = [entity for entity in entities if entity.source == "dynamodb"]
    connections = replace(hook.connections(), aws=cache(hook.aws))
    for entity in fed:
        connections.aws(entity.connection, "sqs")  # once for all of a connection: to make it takes 50 ms
    questions = {f"queues of {entity.name}": partial(_queues, connections, entity) for entity in fed}
    return together(questions, seconds=PART_SECONDS)


def _queues(connections: "Connections", entity: Entity) -> Queues:
    dead_letters, parked = connections.queues(entity)
    waiting = dead_letters.waiting()
    oldest = dead_letters.oldest(connections.aws(entity.connection, "cloudwatch")) if waiting else 0.0
    return Queues(waiting, parked.waiting(), oldest)


def _report(run_id: str) -> Any:
    try:
        return json.loads((reports_dir(run_id) / DATA).read_text(encoding="utf-8"))
    except OSError as error:  # whose text says where files are on the server, which is nobody's business
        raise SearchSyncError(f"the API server has no file {run_id}/{DATA} in its SEARCHSYNC_REPORTS") from error
