"""Which values a field of an index can hold."""
