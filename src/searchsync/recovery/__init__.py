"""How an index comes back when its cluster is lost: snapshots of our own, and drills that try them.

``summary`` is what pages and checks show of it. An index whose name begins with ``COPIES`` is one of a drill.
"""

from searchsync.recovery.records import COPIES, summary

__all__ = ["COPIES", "summary"]
