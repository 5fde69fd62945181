"""The tables of DynamoDB entities: what a reindex, a replay and a recovery stand on."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from searchsync.catalog import Entity
from searchsync.preflight.checks import Check, Finding, NotApplicable, differences
from searchsync.preflight.target import Target
from searchsync.sources.dynamodb import key_schema

APPLY = "Apply the infrastructure: scripts/deploy.sh; look at the plan first"


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of each table."""
    for entity in target.of("dynamodb"):
        client = target.aws("dynamodb", entity)
        yield Check("table", entity.table, "documents get their ids from the key", APPLY, partial(_key, client, entity))
        yield Check(
            "table's stream",
            entity.table,
            "without new and old images no change reaches the index",
            APPLY,
            partial(_stream, client, entity),
        )
        yield Check(
            "point-in-time recovery",
            entity.table,
            "the table is what all indexes are made from, and exports need it",
            APPLY,
            partial(_recovery, client, entity),
        )
        yield Check(
            "time to live",
            entity.table,
            "expired items would stay in the table for ever",
            APPLY,
            partial(_expiry, client, entity),
        )


def _described(client: Any, entity: Entity) -> dict[str, Any]:
    table: dict[str, Any] = client.describe_table(TableName=entity.table)["Table"]
    return table


def _key(client: Any, entity: Entity) -> Finding:
    table = _described(client, entity)
    names, types = key_schema(table)
    found = {
        "key": list(names),
        "key_types": list(types),
        "billing": table.get("BillingModeSummary", {}).get("BillingMode"),
        "encryption": _encryption(table.get("SSEDescription", {})),
    }
    wanted = {
        "key": list(entity.key),
        "key_types": list(entity.key_types),
        "billing": "PAY_PER_REQUEST",
        "encryption": "KMS",
    }
    return Finding(f"key {', '.join(names)}, on demand, encrypted", differences(wanted, found))


def _encryption(described: dict[str, Any]) -> str | None:
    """By which keys; a table that gave them up still names their kind."""
    kept = described.get("Status") in ("ENABLED", "UPDATING")
    return described.get("SSEType") if kept else None


def _stream(client: Any, entity: Entity) -> Finding:
    stream = _described(client, entity).get("StreamSpecification") or {}
    kind = stream.get("StreamViewType", "off")
    return Finding(kind, [] if kind == "NEW_AND_OLD_IMAGES" else [f"the stream is {kind}, not NEW_AND_OLD_IMAGES"])


def _recovery(client: Any, entity: Entity) -> Finding:
    described = client.describe_continuous_backups(TableName=entity.table)["ContinuousBackupsDescription"]
    status = described["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    return Finding(status, [] if status == "ENABLED" else [f"it is {status}"])


def _expiry(client: Any, entity: Entity) -> Finding:
    if not entity.expires:
        raise NotApplicable(f"include/entities/{entity.name}.yaml names no field that ends documents")
    found = client.describe_time_to_live(TableName=entity.table)["TimeToLiveDescription"]
    wanted = {"TimeToLiveStatus": "ENABLED", "AttributeName": entity.expires}
    return Finding(f"by {entity.expires}", differences(wanted, found))
