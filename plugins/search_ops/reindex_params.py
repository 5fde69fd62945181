"""What a person may choose when ``<entity>_reindex`` is triggered."""

from copy import deepcopy
from typing import TYPE_CHECKING

from airflow.sdk import Param

if TYPE_CHECKING:
    from searchsync.catalog import Entity

PARAMS = {
    "partitions": Param(
        4, type="integer", minimum=1, maximum=64, title="Partitions",
        description="Ranges of keys, or segments of a scan: tasks of their own, as many at once as the pool has slots.",
    ),
    "bulk_bytes": Param(
        5_000_000, type="integer", minimum=10_000, maximum=10_000_000, title="Bytes per bulk",
        description="Largest body of one bulk request. Small managed nodes refuse more than 10 MiB.",
    ),
    "swap": Param(
        True, type="boolean", title="Swap",
        description="Off: build and check only. The new index leaves the write set and is deleted after the report.",
    ),
    "max_rejected": Param(
        None, type=["null", "integer"], minimum=0, title="Rejected documents allowed",
        description="Documents that OpenSearch may refuse before the gate fails. Empty: as thresholds.yaml has it (0).",
    ),
    "allow_shrink": Param(
        False, type="boolean", title="Allow shrinking",
        description="Serve the new index also when it has far fewer documents than the live one, or none.",
    ),
    "approve": Param(
        "auto", type="string", enum=["auto", "always", "never"], title="Ask before the swap",
        description="auto: when the number of documents moves by more than approval_share of thresholds.yaml.",
    ),
    "new_epoch": Param(
        False, type="boolean", title="Source was restored or failed over",
        description="Accept that the source is another server than before. Only the new index is written from then on.",
    ),
    "canary": Param(
        False, type="boolean", title="Compare searches before the swap",
        description="Ask the new index and the live one the most frequent queries of the last day. If they answer too "
        "differently, or that cannot be said, the run fails and the live index stays (canary.yaml).",
    ),
    "force": Param(
        False, type="boolean", title="Force",
        description="Start although another reindex of this entity is under way. One of the two wins, the other fails.",
    ),
    "number_of_shards": Param(
        None, type=["null", "integer"], minimum=1, maximum=1024, title="Primary shards",
        description="Of the new index, and of those after it, until the mapping file says another number than now. "
        "Empty: as many as before.",
    ),
    "keep_green": Param(
        False, type="boolean", title="Keep the index of a failed run",
        description="It leaves the write set, so that it can be looked at, and index_retire deletes it after a day.",
    ),
}  # fmt: skip

READ_UNITS = {
    "read_units": Param(
        None, type=["null", "number"], exclusiveMinimum=0, title="Read capacity units a second",
        description="What all reads of the run may use of the table's capacity. Empty: as thresholds.yaml has it.",
    ),
}  # fmt: skip

EXPORT = {
    "export_arn": Param(
        "", type="string", pattern="^(arn:.+/export/.+)?$", title="Export to read",
        description="ARN of a full export of the table, of the last 22 hours. Empty: the run requests its own.",
    ),
}  # fmt: skip


def parameters(entity: "Entity") -> dict[str, Param]:
    """Parameters of the entity's reindex; each DAG has its own, because Airflow writes a run's values into them."""
    of_source = READ_UNITS if entity.source == "dynamodb" else {}
    return deepcopy(PARAMS | of_source | (EXPORT if entity.read_from == "export" else {}))
