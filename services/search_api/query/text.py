"""The one text clause of a search: what was typed, looked for in tiers, so that a sure match is before a likely one.

A document has the score of the best tier that finds it, and all documents of a tier have the same score. The order
within a tier is that of the search's sort: the most prominent first (``build``). So no rare word, short field or
doubtful guess ever comes before the place of exactly that name, whatever the statistics of the index are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_api.query.searchable import Searchable
from searchsync.mapping.field_types import Field, of_path

MOST_LETTERS = 60
"""Number of letters of what was typed whose words are looked for one by one; a longer name can be found as a whole."""

_MOST_CLAUSES = 240
"""Number of clauses that the words of one tier may have; OpenSearch refuses a query of more than 1,024.

In some scripts, each letter is a word.
"""

MISSPELT_LETTERS = range(4, 65)
"""Lengths of what was typed for which one wrong letter is forgiven: all that is shorter is near to too much."""

Clause = dict[str, Any]


def text_query(searchable: Searchable, q: str, *, guesses: bool = True) -> Clause:
    """Return the clause that finds and scores documents by what was typed.

    :param guesses: whether it may be misspelt
    """
    return _ranked(_tiers(searchable, q, searchable.text.words, guesses=guesses))


def suggest_query(searchable: Searchable, q: str) -> Clause:
    """Return the clause that finds and scores documents by a name that is being typed; other words find nothing."""
    return _ranked(_tiers(searchable, q, (), guesses=True))


@dataclass(frozen=True)
class _Typed:
    """What was typed.

    :ivar whole: all of it, with single blanks
    :ivar words: its first words
    :ivar spelt_out: these without initials, when at least two others are left; else all of them
    """

    whole: str
    words: tuple[str, ...]
    spelt_out: tuple[str, ...]

    @classmethod
    def of(cls, q: str, letters: int) -> "_Typed":
        typed = [word for word in q.split() if any(map(str.isalnum, word))] or q.split()
        words = []
        for word in typed:
            words += [word[:letters]] if letters > 0 else []
            letters -= len(word)
        spelt_out = tuple(word for word in words if sum(map(str.isalnum, word)) != 1)
        return cls(" ".join(q.split()), tuple(words), spelt_out if len(spelt_out) > 1 else tuple(words))


@dataclass(frozen=True)
class _Text:
    """The paths of some fields, by how they are indexed.

    :ivar whole: keywords: whole values
    :ivar words: texts of whole words, and keywords where there is no text
    :ivar begun: texts that hold the beginnings of words, or whole words where there are no beginnings
    """

    whole: tuple[str, ...]
    words: tuple[str, ...]
    begun: tuple[str, ...]

    @classmethod
    def of(cls, properties: Mapping[str, Field], names: Sequence[str]) -> "_Text":
        whole, words, begun = [], [], []
        for name in names:
            field = of_path(properties, name) or {}
            paths = {name: field} | {f"{name}.{below}": sub for below, sub in field.get("fields", {}).items()}
            texts = [path for path, one in paths.items() if one.get("type") == "text"]
            whole += [path for path, one in paths.items() if one.get("type") == "keyword"][:1]
            words += texts[-1:] or whole[-1:]
            begun += texts[:1]
        return cls(tuple(whole), tuple(words), tuple(begun))


def _tiers(searchable: Searchable, q: str, more: Sequence[str], *, guesses: bool) -> Iterator[list[Clause]]:
    """Yield the clauses of each tier, the surest first.

    :param more: fields whose words may be among those of a name
    :param guesses: whether what was typed may be misspelt
    """
    roles = searchable.text
    names, others, words = (_Text.of(searchable.properties, of) for of in (roles.names, roles.other_names, more))
    each = len(names.words + others.words + words.words)
    typed = _Typed.of(q, min(MOST_LETTERS, _MOST_CLAUSES // each))
    single, near = len(typed.words) == 1, guesses and len(typed.whole) in MISSPELT_LETTERS
    yield [_term(path, typed.whole) for path in (*names.whole, *others.whole)]
    if not single:
        yield [_each(typed.words, names, others, words)]
    if typed.spelt_out != typed.words:
        yield [_term(path, " ".join(typed.spelt_out)) for path in names.whole]
        yield [_each(typed.spelt_out, names, others, words)]
    yield [
        *(_prefix(path, typed.whole) for path in names.whole),
        *(_match(path, typed.words[0]) for path in names.words if single),
    ]
    yield [_misspelt(path, typed.whole) for path in names.whole if near]
    yield [
        *(_match(path, " ".join(typed.words)) for path in names.begun),
        *(_prefix(path, typed.whole) for path in others.whole),
        *(_misspelt(path, typed.whole, sure=1) for path in others.whole if near),
        *(_term(path, typed.whole) for path in words.whole),
        *([_each(typed.words, others, words)] if single and (others.words or words.words) else []),
        *([_each_misspelt(typed.spelt_out, names, words)] if guesses else []),
    ]


def _ranked(tiers: Iterator[list[Clause]]) -> Clause:
    """Return the clause that finds what any tier finds, and scores it by the first of them."""
    found = [clauses for clauses in tiers if clauses]
    scored = [
        {"constant_score": {"filter": _any(clauses), "boost": len(found) - at}} for at, clauses in enumerate(found)
    ]
    return {"dis_max": {"queries": scored}}


def _any(clauses: list[Clause]) -> Clause:
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses}}


def _each(typed: Sequence[str], *among: _Text) -> Clause:
    """Return the clause for documents that have each of some words, in whichever of the fields."""
    return {"bool": {"filter": [_any([*_word(word, *among)]) for word in typed]}}


def _word(word: str, *among: _Text) -> Iterator[Clause]:
    for text in among:
        yield from (_match(path, word) for path in text.words)


def _each_misspelt(typed: Sequence[str], names: _Text, words: _Text) -> Clause:
    """Return the clause for documents that have each of some words, which may be misspelt where they are a name's.

    A word has one wrong letter, or two from 10 letters on; its first letter is right.
    """
    clauses = []
    for word in typed:
        asked = {"query": word, "operator": "and", "fuzziness": "AUTO:4,10", "prefix_length": 1}
        near: list[Clause] = [{"match": {path: asked}} for path in names.words]
        clauses.append(_any([*near, *_word(word, words)]))
    return {"bool": {"filter": clauses}}


def _term(path: str, value: str) -> Clause:
    return {"term": {path: {"value": value}}}


def _prefix(path: str, value: str) -> Clause:
    return {"prefix": {path: {"value": value}}}


def _misspelt(path: str, value: str, sure: int = 0) -> Clause:
    """Return the clause for whole values with one letter more, less, another, or two exchanged.

    :param sure: number of letters that are not misspelt; one makes the search several times as cheap
    """
    asked = {"value": value, "fuzziness": 1, "prefix_length": sure, "rewrite": "constant_score"}
    return {"fuzzy": {path: asked}}


def _match(path: str, value: str) -> Clause:
    return {"match": {path: {"query": value, "operator": "and"}}}
