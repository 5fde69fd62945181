"""Rule 2 as a table: what one wrong line would lose or acknowledge."""

from typing import Any

import pytest

from searchsync.cluster.client import connect
from searchsync.cluster.index import Index
from searchsync.documents.page import Page, Rejection
from searchsync.errors import LedgerMismatch, RequestRejected
from searchsync.writing.item_outcome import IndexGone, Outcome, outcome_of
from searchsync.writing.ledger import Ledger
from searchsync.writing.writer import load

NOWHERE = Index(connect("http://127.0.0.1:9"), "i")
"""An index that no test asks for anything."""


def item(status: int, kind: str = "", reason: str = "", cause: str = "", result: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = {"status": status}
    if result:
        answer["result"] = result
    if kind:
        answer["error"] = {"type": kind, "reason": reason, "caused_by": {"reason": cause}}
    return answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (item(201, result="created"), Outcome.WRITTEN),
        (item(200, result="updated"), Outcome.WRITTEN),
        (item(409, "version_conflict_engine_exception"), Outcome.CONFLICT),
        (item(400, "mapper_parsing_exception", "failed to parse field [rate]"), Outcome.REJECTED),
        (item(400, "strict_dynamic_mapping_exception", "[x] within [_doc] is not allowed"), Outcome.REJECTED),
        (item(400, "document_parsing_exception", "failed to parse"), Outcome.REJECTED),
        (item(400, "illegal_argument_exception", "Document contains at least one immense term"), Outcome.REJECTED),
        (item(400, "a_type_that_nobody_knows_yet", "this value"), Outcome.REJECTED),
        (item(500, "illegal_argument_exception", "a field's own fault"), Outcome.REJECTED),
        (item(500, "illegal_state_exception", "of the shard, perhaps"), Outcome.RETRY),
        (item(429, "es_rejected_execution_exception"), Outcome.RETRY),
        (item(429, "circuit_breaking_exception"), Outcome.RETRY),
        (item(500, "anything"), Outcome.RETRY),
        (item(502), Outcome.RETRY),
        (item(503, "unavailable_shards_exception"), Outcome.RETRY),
        (item(504, "process_cluster_event_timeout_exception"), Outcome.RETRY),
    ],
)
def test_outcome_of_an_item(answer: dict[str, Any], expected: Outcome) -> None:
    assert outcome_of("i", answer) is expected


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (item(404, "index_not_found_exception"), IndexGone),
        (item(403, "cluster_block_exception", "index [i] blocked by: [FORBIDDEN/8/index write (api)]"), IndexGone),
        (item(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark"), RequestRejected),
        (item(400, "illegal_argument_exception", "no write index is defined for alias [locations]"), RequestRejected),
        (item(400, "illegal_argument_exception", "pipeline with id [x] does not exist"), RequestRejected),
        (item(400, "index_closed_exception"), RequestRejected),
        (item(400), RequestRejected),
        (item(405, "anything"), RequestRejected),
    ],
)
def test_what_is_no_documents_fault_stops_the_write(answer: dict[str, Any], error: type[RequestRejected]) -> None:
    with pytest.raises(error, match=r"^i"):
        outcome_of("i", answer)


def test_flood_stage_says_what_to_do_and_is_not_taken_for_a_write_block() -> None:
    with pytest.raises(RequestRejected, match="Free disk space") as caught:
        outcome_of("i", item(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark"))
    assert not isinstance(caught.value, IndexGone)


def test_a_ledger_that_does_not_add_up_fails_the_task() -> None:
    assert Ledger("i", read=10, written=4, stale=3, tombstoned=2, rejected=1).balanced().read == 10
    for wrong in (Ledger("i", read=10, written=9), Ledger("i", read=1, written=1, rejected=1), Ledger("i", stale=1)):
        with pytest.raises(LedgerMismatch, match=r"^i: "):
            wrong.balanced()


def test_a_load_that_loses_count_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searchsync.writing.bulk.write", lambda *_, **__: Ledger("i", read=2, written=1))
    with pytest.raises(LedgerMismatch):
        load(NOWHERE, [Page(b"", 2, "p")], on_rejected=lambda _: None)


def test_ledgers_of_partitions_add_up() -> None:
    one, two = Ledger("i", read=3, written=2, rejected=1), Ledger("i", read=2, stale=1, tombstoned=1)
    assert one + two == Ledger("i", read=5, written=2, stale=1, tombstoned=1, rejected=1)


def test_rows_that_the_source_could_not_render_are_counted_and_listed() -> None:
    listed: list[Rejection] = []
    rejection = Rejection("x" * 600, "invalid_id", "too long")
    ledger = load(NOWHERE, [Page(b"", 0, "p", rejected=(rejection,))], on_rejected=listed.append)
    assert ledger == Ledger("i", read=1, rejected=1)
    assert listed == [rejection]
