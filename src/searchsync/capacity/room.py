"""Whether the disks have room for the next reindex, and until when."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from searchsync.capacity.forecast import Interval
from searchsync.capacity.outlook import Outlook, Reached, reached
from searchsync.cluster.client import Client
from searchsync.cluster.disk import disks, watermarks


@dataclass(frozen=True)
class Room:
    """The disks of all data nodes together, in bytes.

    :ivar used: of the disks, by whatever
    :ivar room: that can be added below the low watermark: above it, a node gets no new shards
    :ivar reindex: that the reindex of the largest index needs while the old one is kept: all copies of a new one
    :ivar full: when the room is smaller than that; None when an index has no forecast and there is room today
    """

    nodes: int
    total: int
    used: int
    low: str
    room: int
    reindex: int
    full: Reached | None

    def as_dict(self) -> dict[str, Any]:
        """Return what is kept of it beside the figures, as JSON values."""
        return {"full": asdict(self.full) if self.full else None}

    @property
    def fits(self) -> bool:
        """Whether the largest index can be built anew today."""
        return self.reindex <= self.room


def measure(client: Client, outlooks: Sequence[Outlook], horizon: int) -> Room:
    """Return the room on the disks.

    :param outlooks: of all live indexes
    """
    found, low = disks(client), watermarks(client)["low"]
    room = sum(max(0, disk.below(low)) for disk in found)
    today = max((_copies(outlook, 0).expected for outlook in outlooks), default=0.0)
    full = None
    if today > room:
        full = Reached(0, 0, 0)
    elif all(outlook.trend for outlook in outlooks):
        full = reached(lambda days: _needed(outlooks, days), room, horizon)
    return Room(
        nodes=len(found),
        total=sum(disk.total for disk in found),
        used=sum(disk.used for disk in found),
        low=low,
        room=room,
        reindex=round(today),
        full=full,
    )


def _copies(outlook: Outlook, days: int) -> Interval:
    """Return the bytes of all copies of an index after so many days."""
    after, copies = outlook.bytes_after(days), outlook.size.copies
    return Interval(after.low * copies, after.expected * copies, after.high * copies)


def _needed(outlooks: Sequence[Outlook], days: int) -> Interval:
    """Return the bytes that growth and the largest reindex need after so many days, beside what is used today.

    Each index of a write set grows, and the largest index is built anew.
    """
    ends = []
    for end in ("low", "expected", "high"):
        sizes = [(getattr(_copies(outlook, days), end), outlook) for outlook in outlooks]
        grown = sum((size - _copies(outlook, 0).expected) * outlook.size.members for size, outlook in sizes)
        ends.append(grown + max((size for size, _ in sizes), default=0.0))
    return Interval(*ends)
