"""Positions: strings whose lexicographic order is the order of source states (docs/protocol.md, Position)."""

import re
from dataclasses import dataclass
from typing import Any

FORM = r"([0-9]{4}(\.[ct][0-9]{20})?(\.[0-9]{20}){2}\.[0-9]{8}|[0-9]{10}\.[0-9]{40})\+*"
"""Regular expression, for Python and OpenSearch, of every position that this system writes; a repair adds a ``+``."""

_FORM = re.compile(FORM)

FIRST_EPOCH = 1

MARGIN_SECONDS = 5
"""DynamoDB: at least the skew of the clocks that stamp events and responses, and the time from read to response."""

FENCE_SECONDS = 9
"""DynamoDB: margin, skew and one second, from the joining of an index to the first page scanned for it (rule 6)."""

FUTURE_SECONDS = 3_600
"""An event stamped later than this after now has a clock that cannot be trusted: parked, never written."""


@dataclass(frozen=True)
class Snapshot:
    """What one REPEATABLE READ transaction of PostgreSQL sees.

    :param identity: ``<system identifier>.<timeline>`` of the server, and its operator's name for it
    :param checkpoint: ``c`` and the WAL position of the last checkpoint, or ``t`` and the microsecond of the last start
        or recovery where a server does not tell, 20 digits either: each recovery from a crash ends with a later one,
        and after it ids may be given a second time
    :param xmin: lowest transaction id still in progress
    :param xmax: first transaction id not yet assigned
    :param in_progress: how many ids between the two were in progress
    """

    identity: str
    checkpoint: str
    xmin: int
    xmax: int
    in_progress: int

    def position(self, epoch: int) -> str:
        """The snapshots of one primary are totally ordered, and this value grows with that order.

        Without the checkpoint, as positions once were, they sort below all others of their epoch.
        """
        return f"{epoch:04d}.{self.checkpoint}.{self.xmin:020d}.{self.xmax:020d}.{10**7 - self.in_progress:08d}"


def known(value: Any) -> bool:
    """Whether a stored value is a position of ours; any other is foreign, whatever its type, and is replaced."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def covers(stored: Any, position: str) -> bool:
    """Whether a document with this stored value is at least as new as a write with that position (rule 1).

    What is no position, or one of another kind of source, was written by somebody else: it covers nothing.

    :raises ValueError: when ``position`` is none of ours: it can be compared with nothing
    """
    if not known(position):
        raise ValueError(f"{position!r} is not a position of this system: nothing was written")
    return known(stored) and stored.find(".") == position.find(".") and bool(stored >= position)


def behind(snapshot: Snapshot, highest: str) -> str:
    """Why a server is in the past of a position that was read of it; empty when nothing says so.

    After a crash its ids may be lower than before, and its checkpoint is later. Only a server that was put back has an
    earlier one.
    """
    parts = highest.split(".")
    if len(parts) < 5 or parts[1][0] != snapshot.checkpoint[0]:
        return ""  # from before checkpoints were counted
    seen, now = (parts[1], int(parts[3])), (snapshot.checkpoint, snapshot.xmax)
    if now >= seen:
        return ""
    return (
        f"the source is at checkpoint {now[0]}, transaction {now[1]}, but documents of checkpoint {seen[0]}, "
        f"transaction {seen[1]} were read of it: it was put back to an earlier state"
    )


def of_event(second: int, sequence_number: str) -> str:
    """The position of a change in a DynamoDB stream.

    :param second: of ``ApproximateCreationDateTime``, since the epoch
    :param sequence_number: 21 to 40 digits; not of equal length, so padded to compare as numbers do
    """
    return f"{second:010d}.{sequence_number:0>40}"


def of_read(server_second: int) -> str:
    """The position of a consistent read of DynamoDB, also of a key that is absent.

    :param server_second: of the response's ``Date`` header, since the epoch
    """
    return of_event(server_second - MARGIN_SECONDS, "0")


def second_of(position: str) -> int:
    """The second since the epoch that a DynamoDB position begins with."""
    return int(position.split(".", maxsplit=1)[0])
