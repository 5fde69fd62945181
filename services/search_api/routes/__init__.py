"""What can be asked: one file for each kind of question."""
