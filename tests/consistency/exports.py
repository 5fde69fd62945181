"""Courses of events around an export to a point in time, in which one rule alone stands against a wrong document."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from local.exports import Made, arn_of, files
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations.reindex import Reindex
from searchsync.sources.dynamodb_export import ExportSource
from searchsync.sources.export_requests import ExportAccess
from tests.consistency.ground import Build
from tests.consistency.stage import Stage
from tests.consistency.table import ARN, Item
from tests.consistency.writes import blue, joined


class Exporting:
    """The stage's table as a client that also exports it, and the bucket that the exports are in.

    :param late: seconds by which the state in an export is older than its time
    :ivar requested: called ahead of each export
    """

    def __init__(self, stage: Stage, late: int = 0) -> None:
        self._stage, self._late = stage, late
        self._described: dict[str, Any] = {}
        self._objects: dict[str, bytes] = {}
        self.requested: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage.table, name)

    def export(self) -> str:
        """Make an export and return its ARN."""
        self.requested()
        moment = datetime.fromtimestamp(int(self._stage.clock.time()), UTC)
        items = self._items(int(moment.timestamp()) - self._late)
        made = Made(arn_of(ARN, moment), ARN, "", "bucket", "", moment)
        self._objects |= files(made, [[json.dumps({"Item": item}).encode() for item in items]])
        self._described[made.arn] = {
            "ExportArn": made.arn,
            "ExportStatus": "COMPLETED",
            "ExportTime": moment,
            "ExportManifest": made.manifest,
            "TableArn": ARN,
            "S3Bucket": "bucket",
            "ExportFormat": "DYNAMODB_JSON",
            "ItemCount": len(items),
        }
        return made.arn

    def _items(self, second: int) -> list[Item]:
        """All items as of a second."""
        last = (
            [event for event in events if event.second <= second][-1:] for events in self._stage.table.history.values()
        )
        return [event.image for events in last for event in events if event.image is not None]

    # as boto3's clients

    def describe_table(self, **_: Any) -> Any:
        answer = self._stage.table.describe_table()
        answer["Table"]["LatestStreamLabel"] = "2026-01-01T00:00:00.000"
        return answer | self._stage.table._stamp()

    def export_table_to_point_in_time(self, **_: Any) -> Any:
        return {"ExportDescription": {"ExportArn": self.export()}}

    def describe_export(self, ExportArn: str) -> Any:  # noqa: N803
        return {"ExportDescription": self._described[ExportArn]}

    def get_object(self, *, Key: str, **_: Any) -> Any:  # noqa: N803
        return {"Body": _Body(self._objects[Key])}


class _Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk


def load(green: Build, stage: Stage, exporting: Exporting, chosen: str = "") -> None:
    """Load green from an export: one that is requested, or a chosen one."""
    access = ExportAccess(exporting, stage.table, "bucket", chosen)
    entity = replace(stage.entity, read_from="export")
    entity.__dict__["fits"] = stage.entity.fits
    source = ExportSource(entity, exporting, access, identity=ARN)
    run = Reindex(EntityIndexes(green.client, stage.entity), green.plan, green.green)
    with stage.rejections() as rejections:
        source.export = run.export(source, rejections=rejections)
        for part in source.partitions(1):
            run.load(source, part, rejections=rejections)


def change_taken_back_after_an_export(stage: Stage) -> None:
    """An export is older than the join. A change since then was taken back, so no comparison tells; it comes again."""
    blue(stage, m1="first")
    exporting = Exporting(stage)
    chosen = exporting.export()
    zombie, back = stage.table.put("m1", name="second"), stage.table.put("m1", name="first")
    stage.deliver(zombie, back)
    green = joined(stage)
    load(green, stage, exporting, chosen)
    green.finish()
    stage.deliver(zombie)
    stage.check()


def change_that_an_export_lacks(stage: Stage) -> None:
    """The state in an export is older than its time, and the stream has brought what came in between."""
    blue(stage, m1="first")
    green = joined(stage)
    exporting = Exporting(stage, late=40)

    def change() -> None:
        stage.deliver(stage.table.put("m1", name="second"))
        stage.clock.skip(30)

    exporting.requested = change
    load(green, stage, exporting)
    stage.check(green.green)
