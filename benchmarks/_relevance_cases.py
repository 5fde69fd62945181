"""What the benchmark of relevance asks, and which documents are the right answers.

The right answer to a name is the most populous place that bears it, as its name or as an alternate name; places of the
same population count alike. Names are equal when only case and accents part them. Of people, all who bear a name count
alike; a middle initial has to be the same, or missing.
"""

import math
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from local import members

Document = dict[str, Any]

_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_INITIALS = "ABCDEFGHJKLMNOPRSTVW"
_NEAR = 60.0
_EARTH = 6371.0088
"""Kilometres: radius of the circle that somebody looks in, and of the earth."""


@dataclass(frozen=True)
class Case:
    """One question.

    :ivar kind: what it is an example of
    :ivar right: ids of the documents that answer it
    :ivar filters: filters of the search beside what was typed, as the API's parameters
    """

    kind: str
    q: str
    right: frozenset[str]
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of question, and how often one of the first ``within`` hits has to be a right answer."""

    name: str
    within: int
    least: float = field(default=0.0)


PLACES = (
    Kind("name", 1, 0.98),
    Kind("alternate name", 1, 0.95),
    Kind("name with a typo", 3, 0.95),
    Kind("first 4 letters", 10, 0.90),
    Kind("first 3 letters", 10),
    Kind("name and country", 1, 0.95),
    Kind("name and region", 1, 0.95),
    Kind("name, filtered by country", 1, 0.95),
    Kind("name, near", 1, 0.95),
)
PEOPLE = (
    Kind("person", 1, 0.97),
    Kind("person without accents", 1, 0.97),
    Kind("family name first", 1, 0.97),
    Kind("with a middle initial", 1, 0.97),
    Kind("without the middle initial", 1, 0.97),
    Kind("person with a typo", 3, 0.93),
)


def fold(text: str) -> str:
    """Return a text without case and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def misspelt(name: str, choose: random.Random) -> str:
    """Return a name with one typo at any place: letters swapped, one dropped, doubled, or that of a neighbour key."""
    while True:
        at, way = choose.randrange(len(name)), choose.choice(("swap", "drop", "double", "neighbour"))
        before, letter, after = name[:at], name[at], name[at + 1 :]
        near = _neighbours(fold(letter))
        if way == "swap" and after and after[0] != letter:
            return before + after[0] + letter + after[1:]
        if way == "drop":
            return before + after
        if way == "double":
            return before + letter + letter + after
        if way == "neighbour" and near:
            return before + choose.choice(near) + after


def _neighbours(letter: str) -> list[str]:
    """Return the letters of the keys around a key of an English keyboard, whose rows are half a key apart."""
    found = [(row, keys.index(letter)) for row, keys in enumerate(_ROWS) if letter and letter in keys]
    near = []
    for row, at in found:
        places = [(row, at - 1), (row, at + 1), (row - 1, at), (row - 1, at + 1), (row + 1, at - 1), (row + 1, at)]
        near += [_ROWS[y][x] for y, x in places if 0 <= y < len(_ROWS) and 0 <= x < len(_ROWS[y])]
    return near


class Places:
    """The places, by the names that they bear."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._bearers: dict[str, list[Document]] = {}
        for one in documents:
            for name in {fold(name) for name in (one["name"], *(one["alternate_names"] or ()))}:
                self._bearers.setdefault(name, []).append(one)

    def cases(self, count: int, seed: int) -> Iterator[Case]:
        """Yield so many questions of each kind; other seeds ask about other places."""
        choose = random.Random(f"places {seed}")
        large = [one for one in self._documents if (one["population"] or 0) > 50_000]
        larger = [one for one in large if one["population"] > 100_000 and len(one["name"]) >= 5]
        long = [one for one in large if len(one["name"]) >= 5]
        foreign = [one for one in large if _others(one)]
        located = [one for one in self._documents if "." in (one["region"] or "") and one["coordinates"]]
        makers: list[tuple[str, Sequence[Document], Callable[[Document], Case]]] = [
            ("name", large, lambda one: self._named(one["name"])),
            ("alternate name", foreign, lambda one: self._named(choose.choice(_others(one)))),
            ("name with a typo", long, lambda one: self._named(one["name"], q=misspelt(one["name"], choose))),
            ("first 4 letters", larger, lambda one: Case("", one["name"][:4], frozenset({one["_id"]}))),
            ("first 3 letters", larger, lambda one: Case("", one["name"][:3], frozenset({one["_id"]}))),
            ("name and country", large, lambda one: self._in("country", one, lambda country: country)),
            ("name and region", large, lambda one: self._in("region", one, lambda region: region.split(".")[1])),
            ("name, filtered by country", located, self._filtered),
            ("name, near", located, lambda one: self._near(one, choose)),
        ]
        for kind, among, make in makers:
            for one in choose.sample(among, min(count, len(among))):
                case = make(one)
                yield Case(kind, case.q, case.right, case.filters)

    def _named(self, name: str, q: str = "", among: Callable[[Document], bool] = lambda _: True) -> Case:
        found = [one for one in self._bearers[fold(name)] if among(one)]
        most = max(one["population"] or 0 for one in found)
        right = frozenset(one["_id"] for one in found if (one["population"] or 0) == most)
        return Case("", q or name, right)

    def _in(self, field: str, place: Document, short: Callable[[str], str]) -> Case:
        value = short(place[field])

        def within(one: Document) -> bool:
            return value in (one["country"], *(one["region"] or "").split("."))

        return self._named(place["name"], f"{place['name']} {value}", within)

    def _filtered(self, place: Document) -> Case:
        case = self._named(place["name"], among=lambda one: bool(one["country"] == place["country"]))
        return Case("", case.q, case.right, (("country", place["country"]),))

    def _near(self, place: Document, choose: random.Random) -> Case:
        """Somebody stands some kilometres away from a place, and looks for its name."""
        lat, lon = (place["coordinates"][name] + choose.uniform(-0.05, 0.05) for name in ("lat", "lon"))
        case = self._named(place["name"], among=lambda one: _kilometres(one, lat, lon) < _NEAR)
        return Case("", case.q, case.right, (("near", f"{lat:.6f},{lon:.6f},{_NEAR:g}"),))


def _kilometres(place: Document, lat: float, lon: float) -> float:
    """Return the distance of a place, by the haversine formula."""
    if not place["coordinates"]:
        return math.inf
    there = [math.radians(place["coordinates"][name]) for name in ("lat", "lon")]
    here = [math.radians(lat), math.radians(lon)]
    north, east = (math.sin((a - b) / 2) ** 2 for a, b in zip(there, here, strict=True))
    return 2 * _EARTH * math.asin(math.sqrt(north + math.cos(there[0]) * math.cos(here[0]) * east))


def _others(place: Document) -> list[str]:
    own = fold(place["name"])
    return [name for name in place["alternate_names"] or () if fold(name) not in ("", own)]


def people(names: Sequence[str], count: int, seed: int) -> list[Document]:
    """Return invented members: given names of the sample data, and family names of whichever names are given.

    Every third has a middle initial.
    """
    choose = random.Random(f"people {seed}")
    given = sorted({item["name"]["S"].split()[0] for item in members.sample(1_000, 1)})
    found = []
    for number in range(1, count + 1):
        initial = choose.choice(_INITIALS) if choose.random() < 1 / 3 else ""
        parts = [choose.choice(given), *([f"{initial}."] if initial else []), choose.choice(names)]
        found.append({"_id": f"m-{number:07d}", "parts": parts, "name": " ".join(parts)})
    return found


class People:
    """The members, by their names."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._bearers: dict[tuple[str, str], list[Document]] = {}
        for one in documents:
            self._bearers.setdefault((fold(one["parts"][0]), fold(one["parts"][-1])), []).append(one)

    def cases(self, count: int, seed: int) -> Iterator[Case]:
        """Yield so many questions of each kind; other seeds ask about other people."""
        choose = random.Random(f"questions {seed}")
        short = [one for one in self._documents if len(one["parts"]) == 2]
        long = [one for one in self._documents if len(one["parts"]) == 3]
        makers: list[tuple[str, Sequence[Document], Callable[[Document], str]]] = [
            ("person", self._documents, lambda one: str(one["name"])),
            ("person without accents", self._documents, lambda one: fold(one["name"])),
            ("family name first", self._documents, lambda one: " ".join(reversed(one["parts"]))),
            ("with a middle initial", short, lambda one: f"{choose.choice(_INITIALS)}. ".join(_apart(one))),
            ("without the middle initial", long, lambda one: "".join(_apart(one))),
            ("person with a typo", self._documents, lambda one: misspelt(one["name"], choose)),
        ]
        for kind, among, make in makers:
            for one in choose.sample(among, min(count, len(among))):
                q = make(one)
                yield Case(kind, q, self._right(one, q if "middle" in kind else one["name"]))

    def _right(self, one: Document, asked: str) -> frozenset[str]:
        """Return all who bear a name; a middle initial is the same, or missing, unless none was asked for."""
        same = self._bearers[fold(one["parts"][0]), fold(one["parts"][-1])]
        initial = asked.split()[1:-1]
        fitting = [other for other in same if not initial or other["parts"][1:-1] in ([], initial)]
        return frozenset(other["_id"] for other in fitting)


def _apart(person: Document) -> tuple[str, str]:
    """Return a person's given name, with a blank, and family name."""
    return f"{person['parts'][0]} ", person["parts"][-1]
