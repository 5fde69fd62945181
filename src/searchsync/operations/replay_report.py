"""What a replay of the dead-letter queue did, and whether that was all that it had to do."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from searchsync.errors import SearchSyncError
from searchsync.mapping.fitting import Dropped


class NotAllReplayed(SearchSyncError):
    """Some messages could not be replayed and stay in the queue; all others were."""


@dataclass
class Counts:
    """What became of the messages of one reason.

    :ivar messages: messages received
    :ivar read: keys read again
    :ivar written: of these, written to the live index (tombstones included)
    :ivar stale: of these, proven older than what the live index has
    :ivar back: messages that are poison again, or came too early; they are seen again later
    :ivar parked: messages that now wait for a person
    :ivar gap: records that the stream has forgotten
    """

    messages: int = 0
    read: int = 0
    written: int = 0
    stale: int = 0
    back: int = 0
    parked: int = 0
    gap: int = 0


@dataclass
class ReplayReport:
    """What a run did.

    :ivar skipped: number of messages that did not match the run's choice
    :ivar missed: members that are not live and took no writes, and why; a gap is noted for each
    :ivar failed: why some messages were not replayed; these stay in the queue, all others were replayed
    :ivar dropped: values left out of the documents that were read again, by path
    """

    dry_run: bool
    missed: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    gaps: list[dict[str, Any]] = field(default_factory=list)
    why_parked: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    dropped: Dropped = field(default_factory=dict)
    skipped: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report for XCom and for people."""
        messages = sum(counts.messages for counts in self.reasons.values())
        return {
            "dry_run": self.dry_run,
            "reasons": {reason: asdict(counts) for reason, counts in sorted(self.reasons.items())},
            "gaps": self.gaps,
            "missed": self.missed,
            "why_parked": self.why_parked,
            "failed": self.failed,
            "dropped": self.dropped,
            "skipped": self.skipped,
            "messages": messages,
            "messages_per_second": round(messages / max(self.seconds, 0.001), 1),
            "seconds": round(self.seconds, 1),
        }


def check_all(report: dict[str, Any]) -> None:
    """Fail when messages stayed in the queue because they could not be replayed.

    :param report: as ``ReplayReport.as_dict`` makes it
    :raises NotAllReplayed: when there are such messages; the error names the first reasons
    """
    if failed := report["failed"]:
        raise NotAllReplayed(
            f"{len(failed)} messages stay in the queue because they could not be replayed; all others were: "
            + "; ".join(failed[:5])
        )
