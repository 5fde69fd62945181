"""Whether an index is as good as it has to be: figures, expectations, evidence and history."""
