"""All errors, divided by what helps: waiting (plain ``SearchSyncError``) or a person (``Permanent``).

Every message names the index or source, the cause and the next safe step.
"""


class SearchSyncError(Exception):
    """Base of all errors raised on purpose. Trying again later may help."""


class SourceUnavailable(SearchSyncError):
    """The source database does not answer, or must not be read now (a standby)."""


class IndexUnavailable(SearchSyncError):
    """OpenSearch does not answer, or refuses writes, for longer than the writer's patience."""


class StreamBehind(SearchSyncError):
    """The index is behind the stream of its table, so a comparison would report changes that are still on their way."""


class Permanent(SearchSyncError):
    """Trying again cannot help: something has to be changed first."""


class BadConnection(Permanent):
    """The address, a credential or a certificate of OpenSearch or of the source is wrong."""


class BadParams(Permanent):
    """An operator gave parameters that cannot be used here."""


class BadEntity(BadParams):
    """An entity file cannot be used. The entity's DAGs and commands are not there; those of others are."""


class BadSource(Permanent):
    """The SQL file, the Python file of a transformation, or the table cannot be used."""


class BadMapping(Permanent):
    """The mapping file is missing or malformed, OpenSearch refuses it, or the index has another mapping."""


class RequestRejected(Permanent):
    """OpenSearch understood the request and refused it.

    :ivar status: HTTP status
    :ivar error_type: OpenSearch's ``error.type``
    """

    def __init__(self, message: str, *, status: int, error_type: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class SourceChanged(Permanent):
    """The source is another database than the one whose positions the index holds (protocol.md, Position)."""


class AlreadyRunning(Permanent):
    """Another reindex of the same entity is under way."""


class AliasConflict(Permanent):
    """The aliases of an entity are in a state that this system never makes."""


class WriteSetFull(Permanent):
    """A join would make a fifth member of the write set (protocol.md, Names)."""


class EmptyWriteSet(SearchSyncError):
    """There is no index to write to, so nothing may be acknowledged (protocol.md, rule 3)."""


class GreenDiscarded(Permanent):
    """The index that a plan named is gone, or does not belong to its run any more (protocol.md, rule 14)."""


class LedgerMismatch(Permanent):
    """The number of keys read and the number of keys accounted for differ (protocol.md, rule 13)."""


class GateFailed(Permanent):
    """The new index is not fit to be live; the old one goes on serving."""


class StaleSwap(Permanent):
    """The aliases changed since the run looked at them: somebody else swapped (protocol.md, rule 10)."""


class Undone(Permanent):
    """The new index was swapped in but did not serve; the old index serves again."""


class SnapshotFailed(SearchSyncError):
    """A snapshot is not there, not complete, or cannot be restored. An index that was to be deleted after it stays."""


class DrillFailed(Permanent):
    """A recovery that was tried did not bring back what the source has, or took longer than is promised."""


class Different(Permanent):
    """The index is not equal to its source."""
