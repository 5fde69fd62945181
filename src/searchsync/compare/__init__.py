"""Compare source and index: prove what differs, and repair it."""
