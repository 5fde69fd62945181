"""Rule, course of events, and the product without that rule, for which the events end badly (docs/protocol.md)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.consistency import builds, exports, mutants, snapshots, writes
from tests.consistency.mutants import Mutant


class Proof(NamedTuple):
    """That a rule is needed, and that the tests would tell.

    :ivar rule: its number, or ``position`` or ``selection`` for what the protocol says of those
    :ivar scenario: what goes well with the rule, on a stage or on places
    :ivar mutant: without the rule, it ends in a violation
    """

    rule: str
    scenario: Callable[[Any], None]
    mutant: Mutant


_CONFLICT = writes.answered(409, "version_conflict_engine_exception")
_BLOCKED = writes.answered(403, "cluster_block_exception")
_AWAY = writes.answered(503, "unavailable_shards_exception")

PROOFS = {
    "any write wins": Proof("1", writes.late_duplicate, mutants.any_write_wins),
    "a conflict is taken for done": Proof("2", _CONFLICT, mutants.taken_for_done(409)),
    "a block is taken for done": Proof("2", _BLOCKED, mutants.taken_for_done(403)),
    "an outage is taken for done": Proof("2", _AWAY, mutants.taken_for_done(503)),
    "the write set is not resolved again": Proof("3", writes.joined_during_a_write, mutants.resolved_once),
    "the write set is resolved before the read": Proof(
        "3", writes.joined_during_a_replay, mutants.resolved_before_the_read
    ),
    "only the live index is written": Proof("3", writes.crash_between_targets, mutants.only_the_live_one),
    "poison is not parked": Proof("4", writes.poison, mutants.not_parked),
    "poison is parked by good luck": Proof("4", writes.poison, mutants.parked_after_the_acknowledgement),
    "what an unwritable member refuses is not noted": Proof("4", writes.unwritable_member, mutants.not_noted),
    "a replay has the position of its read alone": Proof(
        "5", writes.parked_behind_a_young_document, mutants.read_position_alone
    ),
    "a replay does not wait for a later read": Proof("5", writes.parked_from_the_future, mutants.read_at_any_time),
    "no fence": Proof("6", builds.zombie_from_before_the_join, mutants.no_fence),
    "the scan comes before the join": Proof("6", builds.zombie_from_before_the_join, mutants.scanned_before_the_join),
    "an older export is taken without the stream": Proof(
        "6", exports.change_taken_back_after_an_export, mutants.older_export_alone
    ),
    "a conflict of the scan is ignored": Proof(
        "7", builds.zombie_before_the_scan, mutants.conflict_of_the_scan_ignored
    ),
    "the scan overwrites": Proof("7", builds.change_before_its_page_is_written, mutants.scan_by_plain_index),
    "tombstones are not copied": Proof("8", builds.zombie_after_a_delete, mutants.tombstones_not_copied),
    "tombstones are created": Proof("8", builds.zombie_before_the_tombstones, mutants.tombstones_by_create),
    "the gate reconciles nothing": Proof("9", builds.lost_by_the_load, mutants.gate_without_reconciling),
    "a repair reads the source first": Proof("9", builds.change_during_a_repair, mutants.source_read_before_the_index),
    "a swap asserts nothing of blue": Proof("10", builds.two_swaps, mutants.swapped_blindly),
    "a swap asserts nothing of green": Proof("10", builds.swap_of_one_that_left, mutants.swapped_blindly),
    "an index is deleted without leaving": Proof(
        "11", builds.rollback_to_one_that_is_retired, mutants.deleted_without_leaving
    ),
    "documents are really deleted": Proof("12", writes.zombie_of_a_deleted_key, mutants.really_deleted),
    "a purge deletes whatever is there": Proof("12", builds.rewritten_during_a_purge, mutants.purged_blindly),
    "counts are not compared": Proof("13", builds.lost_by_the_writer, mutants.counts_not_compared),
    "a green is made twice": Proof("14", builds.created_twice, mutants.created_again),
    "what leaves a selection leaves no tombstone": Proof(
        "selection", writes.left_and_entered_again, mutants.left_without_a_tombstone
    ),
    "a tombstone is superseded by what is outside": Proof(
        "selection", writes.left_and_entered_again, mutants.superseded_by_what_is_outside
    ),
    "a replay reads what is not selected": Proof(
        "selection", writes.parked_before_it_left, mutants.read_without_the_selection
    ),
    "sequence numbers are compared as text": Proof(
        "position", writes.two_within_a_second, mutants.sequence_numbers_as_text
    ),
    "seconds are compared alone": Proof("position", writes.two_within_a_second, mutants.seconds_alone),
    "positions of the future are used": Proof(
        "position", writes.changed_after_the_future, mutants.future_positions_used
    ),
    "the margin is below the skew": Proof("position", writes.read_by_a_fast_clock, mutants.margin_below_the_skew),
    "an export is taken for exact": Proof(
        "position", exports.change_that_an_export_lacks, mutants.export_taken_for_exact
    ),
}
"""On members, whose stream brings everything at least once."""

PLACES = {
    "positions are the next id alone": Proof(
        "position", snapshots.late_commit, mutants.snapshots_ordered_by(lambda s: (0, s.xmax, 0))
    ),
    "ids in progress are not counted": Proof(
        "position",
        snapshots.commit_behind_an_older_transaction,
        mutants.snapshots_ordered_by(lambda s: (s.xmin, s.xmax, 0)),
    ),
    "positions without the checkpoint": Proof(
        "position",
        snapshots.ids_given_again,
        mutants.snapshots_ordered_by(lambda s: (s.xmin, s.xmax, s.in_progress)),
    ),
    "any write wins": Proof("position", snapshots.page_written_late, mutants.any_write_wins),
}
"""On locations, whose transactions overlap, and whose server crashes."""
