"""What can go wrong, by what helps: waiting (plain ``SearchSyncError``) or a person (``Permanent``).

Every message names the index or source, the cause and the next safe step.
"""


class SearchSyncError(Exception):
    """Base of all errors raised on purpose. Trying again later may help."""


class SourceUnavailable(SearchSyncError):
    """The source database does not answer, or must not be read now (a standby)."""


class IndexUnavailable(SearchSyncError):
    """OpenSearch does not answer, or refuses writes, for longer than the writer's patience."""


class StreamBehind(SearchSyncError):
    """The index is behind the stream of its table: a comparison would report what is on its way."""


class Permanent(SearchSyncError):
    """Trying again cannot help: something has to be changed first."""


class BadConnection(Permanent):
    """Wrong address, credential or certificate of OpenSearch or of the source."""


class BadParams(Permanent):
    """Parameters that an operator gave and that mean nothing here."""


class BadSource(Permanent):
    """The SQL file or the table it reads cannot be used."""


class BadMapping(Permanent):
    """The mapping file is missing, malformed, refused by OpenSearch, or not what the index has."""


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
    """The source is not the database whose positions the index holds (protocol.md, Position)."""


class AlreadyRunning(Permanent):
    """Another reindex of the same entity is under way."""


class AliasConflict(Permanent):
    """The aliases of an entity are not in a state that this system makes."""


class WriteSetFull(Permanent):
    """A join would make a fifth member of the write set (protocol.md, Names)."""


class EmptyWriteSet(SearchSyncError):
    """There is no index to write to: nothing may be acknowledged (protocol.md, rule 3)."""


class GreenDiscarded(Permanent):
    """The index that a plan named is gone or is not its run's any more (protocol.md, rule 14)."""


class LedgerMismatch(Permanent):
    """Keys read and keys accounted for differ (protocol.md, rule 13)."""


class GateFailed(Permanent):
    """The new index is not fit to be served; the old one goes on serving."""


class StaleSwap(Permanent):
    """The aliases changed since the run looked: somebody else swapped (protocol.md, rule 10)."""


class Undone(Permanent):
    """The new index was swapped in, did not serve, and the old one serves again."""


class SnapshotFailed(SearchSyncError):
    """An index was to be deleted, but could not be saved before: it stays."""


class Different(Permanent):
    """The index is not what its source is."""
