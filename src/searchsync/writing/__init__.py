"""The one path by which documents are written, and what became of each."""
