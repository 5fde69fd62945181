"""Values of parameters: from text to what is compared, and the problem that a wrong one is answered with."""

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from search_api.problems import Problem
from search_api.query.request import Near, Value
from search_api.query.searchable import Parameter
from searchsync.mapping import field_types
from searchsync.mapping.searching import Kind

MAX_TEXT = 500
"""Largest number of characters of a value."""

MAX_CURSOR = 16_000
"""Largest number of characters of a cursor: it may hold the longest value that is sorted by, and a key."""

MAX_KM = 20_040
"""Largest radius: half of the earth's circumference."""

_WHOLE = re.compile(r"-?[0-9]{1,20}").fullmatch
_DECIMAL = re.compile(r"-?[0-9]{1,330}(\.[0-9]{1,330})?([eE][+-]?[0-9]{1,3})?").fullmatch
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII).fullmatch
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})", re.ASCII).fullmatch


def refused(parameter: str, detail: str, next_step: str) -> Problem:
    """Return the problem of a parameter that has a wrong value.

    :param detail: what the value must be, as the end of a sentence that begins with the parameter
    """
    return Problem(400, "bad-parameter", f"{parameter} {detail}.", next_step=next_step)


def text(parameter: str, value: str, most: int = MAX_TEXT) -> str:
    """Return a text as it is. Raise a Problem if it is empty, too long, or has characters that no text has."""
    if not value:
        raise refused(parameter, "must not be empty", f"Leave {parameter} out, or give it a value.")
    if len(value) > most:
        found = f"must have at most {most} characters, not {len(value)}"
        raise refused(parameter, found, "Send a shorter text.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        found = "must not have control characters or lone surrogates"
        raise refused(parameter, found, "Send UTF-8 text without these characters.")
    return value


def typed(parameter: str, value: str) -> str:
    """Return what somebody typed in one form (NFC, single spaces); empty when there is nothing but spaces.

    Its length is checked before: the time that the form takes grows with the square of a run of accents.
    """
    words = " ".join(value.split())
    return unicodedata.normalize("NFC", text(parameter, words)) if words else ""


def boolean(parameter: str, value: str) -> bool:
    """Return a truth value."""
    if value not in ("true", "false"):
        raise refused(parameter, "must be true or false", f"Send {parameter}=true or {parameter}=false.")
    return value == "true"


def whole(parameter: str, value: str, least: int, greatest: int) -> int:
    """Return a whole number within bounds."""
    if not _WHOLE(value) or not least <= (number := int(value)) <= greatest:
        raise refused(parameter, f"must be a whole number from {least} to {greatest}", "Send a number in this range.")
    return number


def near(parameter: str, value: str) -> Near:
    """Return the circle of ``lat,lon,km``."""
    parts = value.split(",")
    if len(parts) == 3 and all(map(_DECIMAL, parts)):
        lat, lon, km = (float(part) + 0.0 for part in parts)
        if abs(lat) <= 90 and abs(lon) <= 180 and 0 < km <= MAX_KM:
            return Near(lat, lon, km)
    wanted = f"must be lat,lon,km: latitude -90 to 90, longitude -180 to 180, a radius above 0 and up to {MAX_KM} km"
    raise refused(parameter, wanted, f"Send for example {parameter}=52.52,13.4,25.")


def compared(parameter: Parameter, field: field_types.Field, value: str) -> Value:
    """Return a value that a filter compares, in its one form.

    :param field: mapping of the field
    """
    read: dict[Kind, Callable[[], Value]] = {
        Kind.KEYWORD: lambda: text(parameter.name, value),
        Kind.BOOLEAN: lambda: boolean(parameter.name, value),
        Kind.WHOLE: lambda: _number(parameter.name, field, int(value) if _WHOLE(value) else None),
        Kind.DECIMAL: lambda: _number(parameter.name, field, float(value) + 0.0 if _DECIMAL(value) else None),
        Kind.DATE: lambda: _instant(parameter, value),
    }
    return read[parameter.field.kind]()


def _number(parameter: str, field: field_types.Field, number: Any) -> Value:
    if number is None or not math.isfinite(number) or not field_types.holds(field, number):
        kind = "a whole number" if field_types.is_whole(field) else "a number"
        raise refused(parameter, f"must be {kind} that the field can hold", f"Send for example {parameter}=10.")
    value: Value = number
    return value


def _instant(parameter: Parameter, value: str) -> str:
    """Return the moment of a date or time. A whole day as the greatest value means the day's last millisecond."""
    try:
        if _DATE(value):
            day = datetime.fromisoformat(value).replace(tzinfo=UTC)
            end = day.replace(hour=23, minute=59, second=59, microsecond=999_000)
            return _shown(end if parameter.bound == "max" else day)
        if _TIME(value):
            moment = datetime.fromisoformat(value).astimezone(UTC)
            return _shown(moment + _ALMOST if parameter.bound == "min" else moment)
    except (ValueError, OverflowError):
        pass
    wanted = "must be a day (2026-01-31) or a time with its zone (2026-01-31T12:00:00Z), of the years 1 to 9999"
    raise refused(parameter.name, wanted, "In an address, write the + of a zone as %2B.")


_ALMOST = timedelta(microseconds=999)
"""What makes the next millisecond of every later moment: dates are kept in milliseconds."""


def _shown(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
