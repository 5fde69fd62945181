"""What became of each key that was read (docs/protocol.md, rule 13)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from searchsync.documents.page import Rejection
from searchsync.errors import LedgerMismatch
from searchsync.mapping import fitting

OnRejected = Callable[[Rejection], None]
"""Called with each document that was refused."""


@dataclass
class Ledger:
    """What became of each key that was read, for one index (rule 13). The numbers are counts of documents.

    :ivar stale: documents for which something at least as new was there already, as the index proved
    :ivar rejected: poison; each document was handed to ``on_rejected`` with its reason
    :ivar dropped: values left out of what was read, by path
    """

    index: str
    read: int = 0
    written: int = 0
    stale: int = 0
    tombstoned: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Ledger") -> "Ledger":
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Ledger(self.index, **counts, dropped=fitting.total(self.dropped, other.dropped))

    def balanced(self) -> "Ledger":
        """Return this ledger, when it adds up.

        :raises LedgerMismatch: unless ``read = written + stale + tombstoned + rejected``, exactly
        """
        if self.read != self.written + self.stale + self.tombstoned + self.rejected:
            raise LedgerMismatch(f"{self.index}: keys read and keys accounted for differ: {asdict(self)}")
        return self


COUNTS = ("read", "written", "stale", "tombstoned", "rejected")
"""Names of the numbers of a ledger."""
