"""Words of a text that can be looked up: numbers, identifiers, addresses, and names of tenants."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

_THOUSANDS: Final = re.compile(r"(?<=\d)[,\u2009\u202f'’](?=\d{3}(?!\d))")
_WORD: Final = re.compile(r"[^\s,;()\[\]{}\"“”„'’`<>|/=]*\d[^\s,;()\[\]{}\"“”„'’`<>|/=]*")
_ANY_WORD: Final = re.compile(r"\w+")
_EDGES: Final = re.compile(r"^[^\w]+|[^\w]+$")
_DAY: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T.*)?")

_LINK: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://\S*"  # an address with its scheme
    r"|\b(?:mailto|javascript|data|file|tel):\S+"
    r"|\]\s*\(\s*\S+"  # what Markdown makes a link or an image of
    r"|\S+@[\w-]+(?:\.[\w-]+)+"
    r"|\b(?:[\w-]+\.)+[^\W\d_]{2,}\b(?:[/?#:]\S*)?",  # a host without a scheme
    re.IGNORECASE,
)
_TENANT: Final = re.compile(r"\btenants?(?:[\s_-]*ids?)?\b[\s:=\"'“”‘’`]*([\w~-]+)?", re.IGNORECASE)
_ENDS: Final = ".,;:!?)]}\"'”’"
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})


class Digits(NamedTuple):
    """The words of a text that have a digit.

    :ivar numbers: plain numbers, each in one form
    :ivar identifiers: all others, in small letters
    """

    numbers: frozenset[str]
    identifiers: frozenset[str]


def plain(text: str) -> str:
    """Return a text in one form: compatible characters are the same, and white space is one space (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def has_hidden(text: str) -> bool:
    """Return whether a text has characters that nobody sees: they could hide what stands between them."""
    return any(unicodedata.category(character) in _HIDDEN for character in text)


def all_of(texts: Iterable[str]) -> frozenset[str]:
    """Return all words of some texts, in small letters."""
    return frozenset(word for text in texts for word in _ANY_WORD.findall(plain(text).casefold()))


def digits(texts: Iterable[str]) -> Digits:
    """Return the words with a digit of some texts. A day counts as a word, and its year, month and day as numbers."""
    numbers, identifiers = set(), set()
    for text in texts:
        for found in _WORD.findall(_THOUSANDS.sub("", plain(text))):
            word = _EDGES.sub("", found)
            if (number := _number(word)) is not None:
                numbers.add(number)
                continue
            identifiers.add(word.casefold())
            if day := _DAY.fullmatch(word):
                numbers |= {str(int(part)) for part in day.groups()}
                identifiers.add("-".join(day.groups()))
    return Digits(frozenset(numbers), frozenset(identifiers))


def links(text: str) -> list[str]:
    """Return what leads somewhere: addresses, hosts, mail addresses, in small letters."""
    return [found.rstrip(_ENDS).casefold() for found in _LINK.findall(plain(text))]


def stands_in(link: str, value: str) -> bool:
    """Return whether a link stands in a value as a whole, and not as a part of another name."""
    return re.search(rf"(?<![\w.@-]){re.escape(link)}(?![\w-])", value) is not None


def tenants(text: str) -> list[str]:
    """Return the words that follow the word tenant; an empty text where nothing does."""
    return [found.casefold() for found in _TENANT.findall(plain(text))]


def _number(word: str) -> str | None:
    """Return a number in one form; None when it is none. A sign is left out, so 9.1 stands for -9.1, too."""
    if not re.fullmatch(r"\d{1,40}(\.\d{1,40})?", word):
        return None
    try:
        return format(Decimal(word).normalize(), "f")
    except InvalidOperation:
        return None
