"""The function on the stream of each DynamoDB entity: one handler and one set of settings for all of them.

Each entity has a function of its own: a process here and a package for AWS, two queues, and the variables that name
them. What function, event source mapping and queues are like is said in `lambdas/stream/settings.json`, for here and
for the deployment.
"""

import json
from typing import Any, Final

from local.paths import ROOT
from searchsync.catalog import CATALOG, Entity
from searchsync.stream.queue import DEAD_LETTER_QUEUE, PARKED_QUEUE

FOLDER: Final = ROOT / "lambdas" / "stream"
HANDLER: Final = FOLDER / "handler.py"
SETTINGS: Final[dict[str, Any]] = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))
CALLABLE: Final[str] = SETTINGS["function"]["handler"].rpartition(".")[2]

CHECKPOINT, PAUSED, ALIVE = "checkpoint.json", "paused", "alive"
"""Files in the folder of a delivery: how far it is, that it is paused, and what holds it up."""


def served() -> list[Entity]:
    """The entities that have a function, in the order of their names."""
    return [found for _, found in sorted(CATALOG.items()) if found.source == "dynamodb"]


def name_of(entity: Entity) -> str:
    """The name of an entity's function."""
    return f"{entity.name}_stream"


def environment(entity: Entity) -> dict[str, str]:
    """Variables that tell the function which entity it serves."""
    return {"SEARCHSYNC_ENTITY": entity.name}


def queue_names(entity: Entity) -> dict[str, str]:
    """The names of an entity's queues, by the variables that hold their URLs."""
    return {
        entity.variable(DEAD_LETTER_QUEUE): f"{entity.name}-dlq",
        entity.variable(PARKED_QUEUE): f"{entity.name}-parked",
    }
