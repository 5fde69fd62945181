"""The page of an entity's DAG: the text of the DAG's file, and all that is named after the entity."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from search_ops.dag_policy import timezone

if TYPE_CHECKING:
    from searchsync.catalog import Entity


def doc_of(text: str | None, entity: "Entity", operation: str) -> str:
    """Return a DAG file's text for the DAG of one entity: ``ENTITY`` is its name, ``WHEN`` the DAG's schedule.

    A table with all that is named after the entity follows.
    """
    when = f"By the schedule `{entity.cron(operation)}` (cron, {timezone()}; `include/entities/{entity.name}.yaml`)"
    filled = (text or "").replace("ENTITY", entity.name).replace("WHEN", when)
    rows = [f"| {name} | {value} |" for name, value in _names(entity).items()]
    return "\n".join([filled, f"| of | `{entity.name}` |", "|---|---|", *rows, ""])


def _names(entity: "Entity") -> dict[str, str]:
    name, postgres = entity.name, entity.source == "postgres"
    files = ["entities/{}.yaml", "mappings/{}.json", "mappings/{}.smoke.json", "expectations/{}.yaml"]
    shell = ["indexes", "reindex", "compare", "rollback", *([] if postgres else ["replay"])]
    named = {
        "source": f"PostgreSQL by `{entity.sql_path}`" if postgres else f"the table `{entity.table}` of DynamoDB",
        "connection": f"`{entity.connection}`",
        "key": _code(entity.key),
        "searched through": f"`{entity.read_alias}`",
        "written through": f"`{entity.write_alias}`",
        "files": _code(f"include/{file.format(name)}" for file in files),
    }
    if not postgres:
        named["queues"] = _code(entity.variable(what) for what in ("DEAD_LETTER_QUEUE", "PARKED_QUEUE"))
        if entity.read_from == "export":
            named["bucket of its exports"] = f"in `{entity.variable('EXPORT_BUCKET')}`"
        named["function"] = f"with `SEARCHSYNC_ENTITY={name}`"
    return {**named, "in a shell": _code(f"searchsync {command} {name}" for command in shell)}


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
