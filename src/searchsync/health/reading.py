"""One look at something, and what it showed: a number, or why there is none."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """What a look showed of one thing.

    :ivar alarm: the row of ``include/policies/alarms.yaml`` that it is compared with
    :ivar subject: which thing: an entity, a connection, a DAG; empty for the cluster
    :ivar value: in the row's unit; None when it could not be looked at
    :ivar seen: what is there, in a sentence with the next step if there is one; or why nothing could be seen
    :ivar entity: the entity that it is about; empty when it is about none
    """

    alarm: str
    subject: str
    value: float | None
    seen: str
    entity: str = ""


@dataclass(frozen=True)
class Look:
    """Something that can be looked at, apart from everything else.

    :ivar alarms: rows of the table that it looks at; each of them is unknown when it fails
    :ivar server: who is asked; a server that hangs holds up no look at another one
    :ivar ask: looks, and changes nothing. It may raise anything
    """

    alarms: Sequence[str]
    server: str
    ask: Callable[[], Iterable[Reading]]
    subject: str = ""
    entity: str = ""

    def unknown(self, why: str) -> list[Reading]:
        """Return the readings of a look that failed."""
        return [Reading(alarm, self.subject, None, why, self.entity) for alarm in self.alarms]
