"""Positions: strings whose lexicographic order is the order of the source's states (docs/protocol.md, Position)."""

import re
from dataclasses import dataclass
from typing import Any

FORM = r"([0-9]{4}(\.[ct][0-9]{20})?(\.[0-9]{20}){2}\.[0-9]{8}|[0-9]{10}\.[0-9]{40})\+*"
"""Regular expression, for Python and OpenSearch, of every position that this system writes. A repair adds a ``+``."""

_FORM = re.compile(FORM)

FIRST_EPOCH = 1

MARGIN_SECONDS = 5
"""Seconds by which the position of a read of DynamoDB is put back.

They are at least the time from read to response and the skew between the clocks that stamp events and responses.
"""

FENCE_SECONDS = 9
"""Seconds that a reindex from DynamoDB waits between joining the write set and its first page (rule 6).

They are the margin, the skew and one second.
"""

FUTURE_SECONDS = 3_600
"""Largest number of seconds that an event's time may be in the future.

A later time comes from a clock that cannot be trusted: the record is parked and never written.
"""


@dataclass(frozen=True)
class Snapshot:
    """What one REPEATABLE READ transaction of PostgreSQL sees.

    :param identity: ``<system identifier>.<timeline>`` of the server, and the operator's name for it
    :param checkpoint: ``c`` and the WAL position of the last checkpoint; where a server does not tell it, ``t`` and the
        microsecond of the last start or recovery; both in 20 digits. Each recovery from a crash ends with a later one.
        After a recovery the server may give transaction ids a second time
    :param xmin: lowest transaction id that is still in progress
    :param xmax: first transaction id that is not yet assigned
    :param in_progress: number of ids between the two that are in progress
    """

    identity: str
    checkpoint: str
    xmin: int
    xmax: int
    in_progress: int

    def position(self, epoch: int) -> str:
        """Return the position of this snapshot. The snapshots of one primary have a total order; positions follow it.

        Positions of older versions have no checkpoint. They sort below all others of their epoch.
        """
        return f"{epoch:04d}.{self.checkpoint}.{self.xmin:020d}.{self.xmax:020d}.{10**7 - self.in_progress:08d}"


def known(value: Any) -> bool:
    """Return whether a stored value is a position of ours. Any other value, of any type, is foreign and is replaced."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def covers(stored: Any, position: str) -> bool:
    """Return whether a document with this stored value is at least as new as a write with that position (rule 1).

    A value that is no position, or a position of another kind of source, comes from somebody else and covers nothing.

    :raises ValueError: when ``position`` is no position of ours, so that nothing can be compared with it
    """
    if not known(position):
        raise ValueError(f"{position!r} is not a position of this system: nothing was written")
    return known(stored) and stored.find(".") == position.find(".") and bool(stored >= position)


def behind(snapshot: Snapshot, highest: str) -> str:
    """Return why a server is in an earlier state than a position that was read from it; empty when nothing shows it.

    After a crash its transaction ids may be lower than before, but its checkpoint is later. Only a server that was put
    back has an earlier checkpoint.
    """
    parts = highest.split(".")
    if len(parts) < 5 or parts[1][0] != snapshot.checkpoint[0]:
        return ""  # the highest position has no checkpoint, or one of another kind
    seen, now = (parts[1], int(parts[3])), (snapshot.checkpoint, snapshot.xmax)
    if now >= seen:
        return ""
    return (
        f"the source is at checkpoint {now[0]}, transaction {now[1]}, but documents of checkpoint {seen[0]}, "
        f"transaction {seen[1]} were read of it: it was put back to an earlier state"
    )


def of_event(second: int, sequence_number: str) -> str:
    """Return the position of a change in a DynamoDB stream.

    :param second: ``ApproximateCreationDateTime``, in seconds since the epoch
    :param sequence_number: 21 to 40 digits; the lengths differ, so it is padded to sort as a number
    """
    return f"{second:010d}.{sequence_number:0>40}"


def of_read(server_second: int) -> str:
    """Return the position of a consistent read of DynamoDB. A read that finds no item has one, too.

    :param server_second: the response's ``Date`` header, in seconds since the epoch
    """
    return of_event(server_second - MARGIN_SECONDS, "0")


def second_of(position: str) -> int:
    """Return the second since the epoch with which a position of DynamoDB begins."""
    return int(position.split(".", maxsplit=1)[0])
