"""Answers that are kept: beside the process and in it, never the reason of an error, never of another tenant."""
