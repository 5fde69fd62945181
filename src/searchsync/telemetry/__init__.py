"""What a task, a function and the library under them say of themselves: metrics, log lines, traces."""
