"""Whether everything that keeps indexes true is well now, what changed since the last look, and who is told of it."""
