"""The only path on which documents are written, and what became of each document."""
