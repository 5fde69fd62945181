"""Find where an index differs from its source, and prove it: no change that is merely on its way is reported.

Sums per bucket say where to look. The hashes of unequal buckets say which keys to suspect. A suspect is read again on
both sides, the index first. It is read once more after a grace period, when all that the stream had at the first look
is applied. Only a pair that differs twice in the same way is confirmed; a pair that keeps changing is counted as
moving. A sample is compared field by field: it finds documents that were changed around the writer with their hash
intact.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from searchsync.catalog import Entity
from searchsync.cluster import schema
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.compare import fingerprints
from searchsync.compare.absence import believed
from searchsync.compare.states import NO_HASH, State, index_states, source_states, whole_states
from searchsync.config import freshness, thresholds
from searchsync.documents import transforms
from searchsync.errors import StreamBehind
from searchsync.sources.base import READ_KEYS, Source
from searchsync.stream import gaps
from searchsync.stream.lag import Lag

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""Seconds between the two looks at a suspect: longer than a change takes from the source to the index."""

LARGEST_SAMPLE = 10_000
"""Largest number of documents that one search returns, and so the largest sample."""

LISTED = 1_000
"""Number of findings that a report lists at most; all of them are counted."""

MOST_SUSPECTS = 100_000
"""Number of suspects that are looked at, at most: more are no drift."""

MISSING, ORPHAN, STALE, CONTENT = "missing", "orphan", "stale", "content differs"
TOMBSTONE, FUTURE, FOREIGN = "tombstone wrong", "position in the future", "foreign document"


@dataclass(frozen=True)
class Finding:
    """One confirmed difference.

    :ivar kind: one of the names above
    :ivar source: hash of the source's state, or ``absent``, or the fields that differ
    :ivar index: position and hash of the document, or ``absent``
    :ivar since: the difference is no older than this time (ISO 8601): when the row changed, else when the document was
        written; empty when nobody knows it
    """

    key: str
    kind: str
    source: str
    index: str
    since: str


@dataclass
class DiffReport:
    """What a comparison of one index found; counts of documents.

    :ivar not_looked_at: number of suspects, at least, when there are too many: then none was looked at, and there are
        no findings; else 0
    :ivar unusable: rows or items of which no document can be made, 10,000 at most
    :ivar dropped: values that were left out of documents because the mapping has no place for them, by path
    :ivar pending: keys that the next sync has to bring
    :ivar moving: keys that changed between the two looks
    :ivar reindex_due: whether the index has another mapping or transform than the present one
    :ivar keys_alone: whether only keys were compared, because the source cannot make the index' transform any more
    :ivar sampled: documents compared field by field
    """

    index: str
    source_count: int = 0
    index_count: int = 0
    unequal_buckets: int = 0
    suspects: int = 0
    not_looked_at: int = 0
    unusable: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    moving: int = 0
    sampled: int = 0
    reindex_due: bool = False
    keys_alone: bool = False
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether everything was looked at and nothing differs."""
        return not self.findings and not self.not_looked_at

    @property
    def kinds(self) -> dict[str, int]:
        """Number of confirmed differences, by kind."""
        return dict(sorted(Counter(finding.kind for finding in self.findings).items()))

    @property
    def summary(self) -> str:
        """Say in a line what differs, and what is no confirmed difference and yet not equal."""
        besides = {
            "pending, which the next sync has to bring": self.pending,
            "moving, which changed while they were looked at": self.moving,
            "unusable, of which no document can be made": self.unusable,
            "values left out, for which the mapping has no place": sum(self.dropped.values()),
            "not looked at, because they are too many": self.not_looked_at,
        }
        kinds = [f"{count} {kind}" for kind, count in self.kinds.items()] or ["no confirmed difference"]
        return "; ".join([*kinds, *(f"{count:,} {what}" for what, count in besides.items() if count)])

    def as_dict(self) -> dict[str, Any]:
        """Return the report for programs: the first findings, and the count of all of them."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "findings"},
            "kinds": self.kinds,
            "confirmed": len(self.findings),
            "findings": [asdict(finding) for finding in self.findings[:LISTED]],
        }


@dataclass(frozen=True)
class Effort:
    """How closely an index is looked at.

    :ivar sample: number of documents, chosen by chance, that are compared field by field; above 10,000 all documents
    :ivar grace: seconds between the two looks at a suspect
    :ivar suspects: largest number of suspects; when there are more, none is looked at
    """

    sample: int = 100
    grace: float = GRACE_SECONDS
    suspects: int = MOST_SUSPECTS


DEFAULT_EFFORT = Effort()


def find(
    index: PhysicalIndex,
    source: Source,
    *,
    since: datetime | None = None,
    behind: Callable[[], Lag] | None = None,
    effort: Effort = DEFAULT_EFFORT,
) -> DiffReport:
    """Compare one index of the write set with its source.

    This changes no document. When nothing differs, it closes the gaps of the index.

    :param since: moment up to which a sync has brought the source's changes; what the next sync has to bring is
        pending. None when nothing may be pending
    :param behind: tells how far the index is behind its stream now; None where there is no stream
    :raises StreamBehind: when the index is behind its stream by more than freshness.yaml allows
    """
    began, name = time.monotonic(), index.name
    if behind is not None and (lag := behind()).unexplained > freshness(source.entity).stream_lag:
        raise _behind(name, lag.seconds)
    indexes = EntityIndexes(index.client, source.entity)
    known_gaps = gaps.of_index(index)
    report = DiffReport(name, reindex_due=_reindex_due(indexes, index))
    index.refresh()
    with fingerprints.renderings(source, index.meta) as renderings:
        report.keys_alone = not renderings
        if report.keys_alone:
            log.warning("%s is of a transform that cannot be made any more: only its keys are compared", name)
        suspects = _suspects(index, fingerprints.Yardstick(source, renderings), report, effort.suspects)
        if not report.not_looked_at:
            sampled = _sample(index, source.entity, effort.sample)
            report.sampled = len(sampled)
            look = _Look(index, source, renderings, {*sampled})
            looked = time.monotonic()
            first = look.at(sorted(suspects.union(sampled)))
            if first:
                _wait(name, looked, effort.grace, behind, source.entity)
                _confirm(report, first, look.at(sorted(first)), since, source.entity)
    if report.good:
        gaps.close(indexes, name, known_gaps)
    report.seconds = round(time.monotonic() - began, 1)
    log.info("%s: %s", name, report.summary)
    return report


def _reindex_due(indexes: EntityIndexes, index: PhysicalIndex) -> bool:
    other = transforms.of_index(index.meta) != transforms.present(indexes.entity)
    return other or bool(schema.differences(indexes, index.name))


def _suspects(index: Index, yardstick: fingerprints.Yardstick, report: DiffReport, limit: int) -> set[str]:
    """Return the keys to be looked at. When there are more than the limit, return none and note it in the report."""
    source = yardstick.source
    late = {"range": {"sync.position": {"gt": source.latest()}}}
    count, suspects = index.count(late), set[str]()
    try:
        if count <= limit:
            suspects |= fingerprints.foreign_keys(index, limit=limit)
            suspects.update(_ids(index, late))
    except fingerprints.TooMany as error:
        count = error.count
    wanted = yardstick.sums()
    report.unusable, report.dropped = len(source.unusable()), source.dropped()
    found = fingerprints.index_sums(index, source.entity)
    report.source_count, report.index_count = (sum(n for n, _, _ in sums.values()) for sums in (wanted, found))
    report.unequal_buckets = sum(wanted.get(b) != found.get(b) for b in wanted.keys() | found.keys())
    if count <= limit:
        try:
            suspects.update(fingerprints.unequal_keys(index, yardstick, wanted, found, limit=limit).keys)
            count = len(suspects)
        except fingerprints.TooMany as error:
            count = error.count
    report.suspects, report.not_looked_at = count, count if count > limit else 0
    return suspects


def _wait(name: str, looked: float, grace: float, behind: Callable[[], Lag] | None, entity: Entity) -> None:
    """Wait until everything that the stream had at the first look is applied: what differs then is not on its way.

    A record that a waiting message may account for may also be on its way. So it is waited for, too, but no longer than
    a stream may lag.
    """
    time.sleep(grace)
    while behind is not None:
        waited, lag = time.monotonic() - looked, behind()
        if lag.seconds < max(waited, 1.0):  # stamps are whole seconds
            return
        if waited > freshness(entity).stream_lag:
            if lag.explained:
                return
            raise _behind(name, lag.seconds)
        time.sleep(1.0)


def _behind(name: str, seconds: float) -> StreamBehind:
    return StreamBehind(
        f"{name} is {seconds:.0f} s behind the stream: what differs is on its way, and nothing was compared. Is the "
        "event source mapping enabled, is the function throttled? Then run it again"
    )


class _Difference(NamedTuple):
    pair: tuple[str, str, str]
    finding: Finding
    changed: str


def _confirm(
    report: DiffReport,
    first: dict[str, _Difference],
    second: dict[str, _Difference],
    since: datetime | None,
    entity: Entity,
) -> None:
    """Note what differs twice in the same way as a finding, unless the next sync has to bring it.

    The next sync learns of deletions only by unequal counts. It does not see an orphan when a missing row, which it
    will not bring, makes the counts equal. And it deletes no more than may be believed unasked.
    """
    standing = [second[key] for key in sorted(second) if second[key].pair == first[key].pair]
    report.moving = len(second) - len(standing)
    pending: list[_Difference] = []
    if since is not None:
        pending = _in_interval(standing, since, entity)
        coming = sum(found.finding.kind == MISSING for found in pending)
        orphans = [found for found in standing if found.finding.kind == ORPHAN]
        if report.index_count + coming != report.source_count and len(orphans) <= believed(entity, report.index_count):
            pending += orphans
    later = {found.finding.key for found in pending}
    report.findings = [found.finding for found in standing if found.finding.key not in later]
    report.pending = len(pending)


def _in_interval(standing: list[_Difference], since: datetime, entity: Entity) -> list[_Difference]:
    """Return the differences whose rows the next sync reads.

    The sync begins ``overlap_minutes`` before its interval, for what is committed late.
    """
    overlap = timedelta(minutes=thresholds(entity).overlap_minutes)
    begin, end = since - overlap, datetime.now(UTC) + overlap
    found = ((one, _moment(one.changed)) for one in standing if one.finding.kind in (MISSING, STALE))
    return [one for one, moment in found if moment is not None and begin <= moment <= end]


def _moment(text: str) -> datetime | None:
    """Return the moment that a row says, in UTC when it has no zone; None when it is no date, such as ``infinity``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass
class _Look:
    """Looks at keys on both sides.

    :ivar renderings: the sources whose documents count as right; when there is none, contents are not compared
    :ivar compared: keys whose documents are compared field by field
    """

    index: Index
    source: Source
    renderings: Sequence[Source]
    compared: set[str]

    def at(self, keys: Sequence[str]) -> dict[str, _Difference]:
        """Return the keys that differ now.

        The index is read first, so that the source is the later one when something is written meanwhile.
        """
        different: dict[str, _Difference] = {}
        for at in range(0, len(keys), READ_KEYS):
            some = list(keys[at : at + READ_KEYS])
            have = index_states(self.index, some)
            whole = [key for key in some if key in self.compared or have[key].deleted]
            have |= whole_states(self.index, whole)
            latest = self.source.latest()
            states = [dict(source_states(source, some)) for source in self.renderings or [self.source]]
            for key in some:
                found = self._difference(key, [want[key] for want in states], have[key], latest)
                if found is not None:
                    different[key] = found
        return different

    def _difference(self, key: str, wants: list[State], have: State, latest: str) -> _Difference | None:
        kinds = [_kind(want, have, latest) for want in wants]
        kind = "" if "" in kinds or (kinds[-1] == STALE and not self.renderings) else kinds[-1]
        want = wants[kinds.index("")] if "" in kinds else wants[-1]
        details = _fields(want, have) if key in self.compared and self.renderings and not kind else ""
        if not kind and not details:
            return None
        shown = want.hash or "absent"
        there = f"{have.position} {have.hash}".strip() or "absent"
        since = want.changed if kind in (MISSING, STALE) and want.changed else have.written_at
        finding = Finding(key, kind or CONTENT, details or shown, there, since)
        return _Difference((finding.kind, shown, there), finding, want.changed)


def _kind(want: State, have: State, latest: str) -> str:
    """Return what is wrong with a key; empty when nothing is."""
    visible = have.hash != "" and not have.deleted
    wrong = {
        FUTURE: have.position > latest,
        FOREIGN: have.hash == NO_HASH,
        TOMBSTONE: have.deleted and bool(have.fields),
        MISSING: want.hash != "" and not visible,
        ORPHAN: want.hash == "" and visible,
        STALE: visible and want.hash != have.hash,
    }
    return next((kind for kind, is_so in wrong.items() if is_so), "")


def _fields(want: State, have: State) -> str:
    """Return the names of the fields that differ."""
    ours, theirs = want.fields or {}, have.fields or {}
    return ", ".join(sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)))


def _sample(index: Index, entity: Entity, count: int) -> list[str]:
    if count > LARGEST_SAMPLE:
        return _ids(index, entity.visible)
    query = {"function_score": {"query": entity.visible, "random_score": {}}}
    body = {"size": count, "query": query, "_source": False}
    return [hit["_id"] for hit in index.search(body)["hits"]["hits"]]


def _ids(index: Index, query: dict[str, Any]) -> list[str]:
    return [hit["_id"] for hit in index.scroll(query, source=False)]
