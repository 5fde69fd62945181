"""How many deletions are believed when nobody reported them and the rows are only absent (docs/protocol.md, rule 9).

A table that is emptied and filled again in two transactions, a restore that is half done, a view that lost its join:
each looks like a deletion while it lasts. So a person has to confirm more deletions than the policy's share, and
nothing is written before. A removal that the stream reports, or one key that was read for its own sake, is no absence
in this sense.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from searchsync.catalog import Entity
from searchsync.config import thresholds
from searchsync.documents.page import Page
from searchsync.errors import GateFailed

LEAST = 100
"""Number of deletions that is believed even when the share is smaller, unless less than ``shrink`` would be left."""


class TooManyGone(GateFailed):
    """More documents have no row than may be taken for deleted."""


def believed(entity: Entity, documents: int) -> int:
    """Return how many documents of an index may be taken for deleted at most without a person's word.

    The thresholds are those of a reindex that shrinks: ``approval_share``, ``shrink`` and, as a number, ``reconciled``.

    :param documents: number of documents of the index, without tombstones
    """
    limits = thresholds(entity)
    share = max(int(documents * limits.approval_share), LEAST)
    return min(share, int(documents * (1 - limits.shrink)), limits.reconciled)


@dataclass
class Guard:
    """Counts what one run takes for deleted in one index, and refuses too much.

    :ivar documents: number of documents of the index, without tombstones
    :ivar allowed: number of deletions that are believed
    :ivar confirm: what a person does when the rows are gone for good; ``{gone}`` stands for their number
    :ivar gone: number of deletions passed on so far
    """

    index: str
    documents: int
    allowed: int
    confirm: str
    gone: int = 0

    def check(self, gone: int) -> None:
        """Refuse a number of deletions before the first of them is written.

        :param gone: the number
        :raises TooManyGone: when it is more than may be believed
        """
        if gone > self.allowed:
            raise TooManyGone(
                f"{self.index}: at least {gone} of its {self.documents} documents have no row in the source, and "
                f"{self.allowed} may be taken for deleted unasked. Was the table emptied to be filled again, was it "
                "restored, is the SQL file wrong? None of these was deleted. Run it again when the table is whole; if "
                f"the rows are gone for good, {self.confirm.format(gone=gone)}"
            )

    def take(self, page: Page, *, counted: AbstractSet[str] = frozenset()) -> set[str]:
        """Count the tombstones of a page that is about to be written.

        :param counted: keys that are written a second time and are not counted again
        :returns: the keys of the page's tombstones
        :raises TooManyGone: when they are too many together with those counted before
        """
        gone = {document.key for document in page.documents() if document.deleted}
        if fresh := gone - counted:
            self.check(self.gone + len(fresh))
            self.gone += len(fresh)
        return gone
