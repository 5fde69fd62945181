"""Positions: strings whose lexicographic order is the order of source states (docs/protocol.md, Position)."""

from dataclasses import dataclass

FIRST_EPOCH = 1


@dataclass(frozen=True)
class Snapshot:
    """What one REPEATABLE READ transaction of PostgreSQL sees.

    :param identity: ``<system identifier>.<timeline>`` of the server
    :param xmin: lowest transaction id still in progress
    :param xmax: first transaction id not yet assigned
    :param in_progress: how many ids between the two were in progress
    """

    identity: str
    xmin: int
    xmax: int
    in_progress: int

    def position(self, epoch: int) -> str:
        """The snapshots of one primary are totally ordered, and this value grows with that order."""
        return f"{epoch:04d}.{self.xmin:020d}.{self.xmax:020d}.{10**7 - self.in_progress:08d}"


def epoch_of(position: str) -> int:
    """The epoch that a PostgreSQL position begins with."""
    return int(position.split(".", maxsplit=1)[0])


def xmax_of(position: str) -> int:
    """The first transaction id that a PostgreSQL position did not see assigned."""
    return int(position.split(".")[2])
