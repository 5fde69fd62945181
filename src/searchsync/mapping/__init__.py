"""What a field of an index can hold."""
