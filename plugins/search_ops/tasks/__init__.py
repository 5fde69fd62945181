"""TaskFlow functions, one file per operation. Heavy imports stay inside them: each DAG file is parsed all the time."""
