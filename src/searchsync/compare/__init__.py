"""Source against index: what differs, proven, and its repair."""
