"""Who asks: tokens of the user pool, the keys that they are signed with, and what each role may see."""
