"""What ``./dev bench soak`` searches, and the right answer to each of its questions, worked out without OpenSearch.

Documents have generations, one for each index: some members and places come and go, and their cities and prices change.
So an answer shows which index it came from, and one that is made of two is the right answer of none.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any

from searchsync.catalog import Entity, entity

TENANTS = ("acme", "globex", "initech")
EVERYBODY = "*"
"""The caller who sees the documents of all tenants."""

MEMBERS, LOCATIONS = entity("members"), entity("locations")
ENTITIES: dict[str, Entity] = {one.name: one for one in (MEMBERS, LOCATIONS)}

FIRST = ("Quentin", "Brigitte", "Fernanda", "Yoshiko", "Obadiah", "Wilhelmina", "Zachariah", "Leopoldine")
LAST = ("Kowalczyk", "Montgomery", "Haraldsson", "Underwood", "Papadakis", "Vandenberg", "Castellanos", "Echeverria")
CITIES = ("Northport", "Eastbourne", "Southwark", "Westhaven", "Midlothian")
SKILLS = ("welding", "juggling", "beekeeping")
STATUSES = ("active", "invited")
PLACES = ("Ashgrove", "Birkdale", "Clunbury", "Dovercourt", "Elmswell", "Foxholes", "Gunnerside", "Hexworthy")
COUNTRIES = ("DE", "FR", "NO")
GONE_EVERY = 7
"""Each generation lacks one document in so many."""

ALL = 50
_EARTH_KM = 6_371.0088

Document = Mapping[str, Any]
Documents = Mapping[str, Document]


@lru_cache(maxsize=64)
def documents(entity: str, generation: int) -> Documents:
    """Return the documents of an index by their ids."""
    made = _members(generation) if entity == MEMBERS.name else _places(generation)
    return {key: one for at, (key, one) in enumerate(made) if (at + generation) % GONE_EVERY}


def _members(generation: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for tenant, (at, (first, last)) in product(TENANTS, enumerate(product(FIRST, LAST))):
        yield (
            f"{tenant}-{at}",
            {
                "member_id": f"{tenant}-{at}",
                "tenant_id": tenant,
                "name": f"{first} {last}",
                "city": CITIES[(at + generation) % len(CITIES)],
                "skills": [SKILLS[at % len(SKILLS)]],
                "status": STATUSES[at % len(STATUSES)],
                "joined_date": f"20{10 + at % 10}-0{1 + at // 10}-01",
            },
        )


def _places(generation: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for at, (name, suffix) in enumerate(product(PLACES, ("", *CITIES))):
        yield (
            str(at),
            {
                "location_id": at,
                "name": f"{name} {suffix}".strip(),
                "country": COUNTRIES[at % len(COUNTRIES)],
                "region": f"{COUNTRIES[at % len(COUNTRIES)]}.{at % 5}",
                "population": 1_000 * (at + 1),
                "coordinates": {"lat": 2.0 * (at // 8), "lon": 2.0 * (at % 8)},
                "rate": generation + at / 100,
                "active": at % 2 == 0,
            },
        )


@dataclass(frozen=True)
class Question:
    """One request, and what is right.

    :ivar path: of the address, after ``/v1/{entity}/``
    :ivar parameters: of the address; ``q`` is the words that a name must have
    :ivar words: what names must have; empty for any
    :ivar equal: fields that must have these values
    :ivar near: latitude, longitude, and the kilometres that are not passed
    :ivar order: field that hits are ordered by, the greatest first with a ``-`` before it
    :ivar limit: the number of hits
    :ivar key: id of the document that is asked for; empty for a search
    """

    entity: str
    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    equal: tuple[tuple[str, str], ...] = ()
    near: tuple[float, float, float] | None = None
    order: str = ""
    limit: int = ALL
    key: str = ""
    facets: tuple[str, ...] = ()

    def seen(self, whose: str, generation: int) -> dict[str, Document]:
        """Return the documents that are found, by id, in the order of hits, on all pages."""
        found = {
            key: one
            for key, one in documents(self.entity, generation).items()
            if (self.entity != MEMBERS.name or whose in (EVERYBODY, one["tenant_id"])) and self._matches(key, one)
        }
        return dict(sorted(found.items(), key=lambda item: self._place(item[1])))

    def _matches(self, key: str, one: Document) -> bool:
        if self.key:
            return key == self.key
        named = one["name"].lower().split()
        has_words = all(any(word.startswith(typed) for word in named) for typed in self.words)
        near = self.near is None or kilometres(self.near, one["coordinates"]) <= self.near[2]
        return has_words and near and all(value in _values(one[name]) for name, value in self.equal)

    def _place(self, one: Document) -> tuple[Any, ...]:
        key = one.get("member_id", one.get("location_id"))
        if self.near:
            return (kilometres(self.near, one["coordinates"]), key)
        if not self.order:
            whole = one["name"].lower() == " ".join(self.words)
            return (not whole, -one.get("population", 0), key)
        value = one[self.order.removeprefix("-")]
        return (-value if self.order.startswith("-") else value, key)

    def shortened(self, limit: int) -> "Question":
        """Return the same search with fewer hits; what has no such limit stays as it is."""
        if self.path != "search":
            return self
        pairs = [pair for pair in self.parameters if pair[0] != "limit"]
        return replace(self, parameters=(*pairs, ("limit", str(limit))), limit=limit)

    def right(self, whose: str, generation: int) -> tuple[int, Any]:
        """Return the status and what matters of the body, for a caller and an index."""
        found = self.seen(whose, generation)
        shown = [(key, dict(one)) for key, one in list(found.items())[: self.limit]]
        if self.key:
            return (200, shown) if shown else (404, None)
        if self.path == "suggest":
            return 200, [(key, one["name"]) for key, one in shown]
        return 200, (len(found), shown, {name: self._counted(name, whose, generation) for name in self.facets})

    def _counted(self, name: str, whose: str, generation: int) -> dict[str, int]:
        """Return how often a field has each value, as its mapping writes it, without the field's own filter."""
        others = replace(self, equal=tuple(pair for pair in self.equal if pair[0] != name))
        values = [value for one in others.seen(whose, generation).values() for value in _values(one[name])]
        return dict(Counter(values if name == "status" else map(str.lower, values)))

    def told(self, status: int, body: Any) -> tuple[int, Any]:
        """Return the same of an answer that came."""
        if status != 200:
            return status, None
        if self.key:
            return 200, [(body["id"], body["document"])]
        if self.path == "suggest":
            return 200, [(one["id"], one["document"]["name"]) for one in body["suggestions"]]
        facets = {name: {one["value"]: one["count"] for one in body["facets"][name]} for name in self.facets}
        return 200, (body["total"]["value"], [(one["id"], one["document"]) for one in body["hits"]], facets)


def kilometres(near: Sequence[float], place: Mapping[str, float]) -> float:
    """Return the distance on the earth between a point and a place."""
    lat, lon, to_lat, to_lon = map(math.radians, (near[0], near[1], place["lat"], place["lon"]))
    half = math.sin((to_lat - lat) / 2) ** 2 + math.cos(lat) * math.cos(to_lat) * math.sin((to_lon - lon) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(half))


def _values(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _search(entity: str, **asked: Any) -> Question:
    """Return a search; its parameters follow from what is right."""
    question = Question(entity, "search", **asked)
    pairs = [*question.equal, ("limit", str(question.limit))]
    pairs += [("q", " ".join(question.words))] if question.words else []
    pairs += [("near", ",".join(map(str, question.near)))] if question.near else []
    pairs += [("sort", question.order)] if question.order else []
    pairs += [("facets", ",".join(question.facets))] if question.facets else []
    return replace(question, parameters=tuple(pairs))


def questions() -> list[Question]:
    """Return what is asked: people and places by name, beginning, filter, distance, facet and id."""
    of, at = MEMBERS.name, LOCATIONS.name
    words = [(one.lower(),) for one in (*FIRST, *LAST)] + [
        (a.lower(), b.lower()) for a, b in zip(FIRST, LAST, strict=True)
    ]
    asked = [_search(of, words=one) for one in words]
    asked += [_search(of, equal=(("city", city),), order="name", facets=("status", "city")) for city in CITIES]
    asked += [_search(of, equal=(("skills", skill),), order="name", limit=5) for skill in SKILLS]
    asked += [_search(of, order="name", limit=limit, facets=("status", "skills")) for limit in range(1, 11)]
    asked += [Question(of, f"{whose}-{at}", key=f"{whose}-{at}") for whose in TENANTS for at in range(0, 60, 7)]
    asked += [
        Question(of, "suggest", (("q", one[:4].lower()), ("limit", "20")), (one[:4].lower(),), limit=20)
        for one in (*FIRST, *LAST)
    ]
    asked += [_search(at, words=(one.lower(),)) for one in PLACES]
    asked += [
        _search(at, equal=(("country", one),), order="-population", limit=n) for one in COUNTRIES for n in (5, 20)
    ]
    asked += [_search(at, order=order, limit=10, facets=("country", "region")) for order in ("name", "-rate", "rate")]
    asked += [_search(at, near=(2 * lat + 0.3, 2 * lon + 0.17, 350.0)) for lat in range(6) for lon in range(8)]
    asked += [Question(at, str(key), key=str(key)) for key in range(0, 48, 5)]
    return asked


def paged() -> list[Question]:
    """Return the searches whose pages are all read."""
    return [_search(MEMBERS.name, order="name", limit=7), _search(LOCATIONS.name, order="-population", limit=5)]


@dataclass
class Walk:
    """All pages of one search, read one after another by somebody who follows the cursors.

    :ivar first: the oldest generation that its first page may have come from
    """

    question: Question
    whose: str
    first: int
    ids: list[str] = field(default_factory=list)

    def complaints(self, last: int) -> list[str]:
        """Return what is wrong with the pages: what never went must be there once, and nothing twice.

        :param last: generation of the newest index that a page may have come from
        """
        seen = [self.question.seen(self.whose, generation) for generation in range(self.first, last + 1)]
        always, ever = set.intersection(*map(set, seen)), set().union(*seen)
        found = set(self.ids)
        wrong = {
            "twice": len(self.ids) - len(found),
            "left out": len(always - found),
            "not to be seen": len(found - ever),
        }
        return [f"pages: {count} documents {what}" for what, count in wrong.items() if count]
