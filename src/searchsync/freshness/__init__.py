"""How soon a change of a source is found by searches: measured for each entity, and what is known of it now."""

from searchsync.freshness.result import Measured, summary

__all__ = ["Measured", "summary"]
