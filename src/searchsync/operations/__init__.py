"""One file for each operation that a DAG runs."""
