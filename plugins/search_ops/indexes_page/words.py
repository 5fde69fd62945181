"""Figures as words, for people."""

from datetime import datetime, timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_BYTES = ("B", "kB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """Return a time by its two largest units: ``2 d 3 h``, ``4 min 10 s``."""
    left = int(max(0.0, seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    first, *rest = parts or ["0 s"]
    return " ".join([first, *(part for part in rest[:1] if not part.startswith("0 "))])


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, or how far ahead it is."""
    if moment is None:
        return "never"
    passed = (now - moment) / timedelta(seconds=1)
    return f"{duration(passed)} ago" if passed >= 0 else f"in {duration(-passed)}"


def size(count: float) -> str:
    """Return a number of bytes with the unit that suits it."""
    power = 0
    while count >= 1000 and power < len(_BYTES) - 1:
        count, power = count / 1000, power + 1
    digits = 0 if count >= 100 or not power else 1
    return f"{count:,.{digits}f} {_BYTES[power]}"


def number(count: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{count:,.0f}"
