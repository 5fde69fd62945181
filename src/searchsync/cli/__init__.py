"""The command ``searchsync``: the same work as the DAGs, from a shell."""
