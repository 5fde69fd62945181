"""Real time: a table's stream of changes, the queue of those that were not written, how far an index is behind."""
