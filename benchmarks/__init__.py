"""Every number of the README, one command each: ``./dev bench NAME`` runs ``benchmarks/NAME.py`` on its own servers."""
