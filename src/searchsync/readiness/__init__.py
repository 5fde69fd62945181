"""Is a system ready for production: thirty items, each proven by a look, a report or a person, or open."""
