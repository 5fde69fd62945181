"""Smoke queries: searches that a new index has to answer before it is live.

Each entry of ``include/mappings/<entity>.smoke.json`` has

- ``name``;
- ``sample``: a query that picks the documents to look for. It must pick only documents whose fields in question are
  indexed (``exists``): a value over ``ignore_above`` is not indexed;
- ``query``: a query that must find each sample. ``${field}`` stands for the sample's value, ``${field|typed}`` for the
  first half of the value, ``${field|misspelt}`` for the value with two letters exchanged. When the value is a list, one
  value of the list has to find the sample;
- ``extremes`` (optional): a keyword field. Its longest, its shortest and one non-Latin value are tried as well, because
  an analyzer that drops long, short or foreign words passes every sample of usual words.

No data of any particular table is assumed. A sample about which a query cannot be asked is not tried. A sample that a
live writer changes or deletes while it is looked for shows nothing, and another one is taken.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from searchsync.catalog import Entity, SmokeQuery
from searchsync.cluster.index import Index
from searchsync.config import thresholds
from searchsync.errors import GateFailed, RequestRejected

_PLACEHOLDER = re.compile(r"\$\{([\w.]+)(?:\|(typed|misspelt))?\}")
_CAN_BE_MISSPELT = re.compile(r"[A-Za-z]{5,}( [A-Za-z]{5,})*")
_NOT_LATIN = ".*[^\u0001-\u024f].*"
"""Regular expression of Lucene for a text that has a character beyond Latin Extended-B."""
_LIST_VALUES = 10
_CANDIDATES = 20
"""Number of candidates for each sample wanted: a query cannot be asked about some of them."""
_MOST_WORDS = 900
"""Largest number of words that a query may ask for.

OpenSearch refuses a query of more than 1,024 clauses (``indices.query.bool.max_clause_count``).
"""
_WORD = re.compile(r"[A-Za-z0-9_]{1,255}|[^\x00-\x7f]")
"""What an analyzer may take for a word: it divides words at 255 letters, and some scripts at each letter."""


_SAME_COPIES = {"preference": "_primary"}
"""Parameters that ask the same copy of each shard each time: what one search has seen, the next one sees as well."""


class _NoQuestion(Exception):
    """The query cannot be asked about this document."""


def run(index: Index, entity: Entity) -> dict[str, int]:
    """Run all smoke queries.

    :returns: for each query the number of samples that it found; 0 when the index has no document to try it with
    :raises GateFailed: when a query is refused or does not find its sample
    """
    samples = thresholds(entity).smoke_samples
    return {smoke.name: run_one(index, entity, smoke, samples) for smoke in entity.smoke_queries}


def run_one(index: Index, entity: Entity, smoke: SmokeQuery, samples: int) -> int:
    """Run one smoke query with so many samples, and its extremes. Return and raise what ``run`` does."""
    picked = {"bool": {"must": [smoke.sample], "filter": [entity.visible]}}
    tried: set[str] = set()
    for most, body in _picks(smoke, picked, samples):
        found = 0
        for hit in _search(index, smoke, body):
            if found == most:
                break
            try:
                query = _filled(smoke.query, hit["_source"])
            except _NoQuestion:
                continue
            if hit["_id"] not in tried:
                if not _is_found(index, smoke, hit, query):
                    continue
                tried.add(hit["_id"])
            found += 1
    return len(tried)


def _picks(smoke: SmokeQuery, picked: dict[str, Any], samples: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield searches for candidates, each with the number of samples to take from its result."""
    # A fixed seed: a failure can be looked at again.
    random = {"function_score": {"query": picked, "random_score": {"seed": 7, "field": "_seq_no"}}}
    yield samples, {"size": samples * _CANDIDATES, "query": random}
    if field := smoke.extremes:
        there = {"bool": {"must": [picked], "filter": [{"exists": {"field": field}}]}}
        for order in ("asc", "desc"):
            script = {"source": "doc[params.field].value.length()", "params": {"field": field}}
            by_length = [{"_script": {"type": "number", "script": script, "order": order}}]
            yield 1, {"size": _CANDIDATES, "query": there, "sort": by_length}
        foreign = {"bool": {"must": [picked], "filter": [{"regexp": {field: _NOT_LATIN}}]}}
        yield 1, {"size": _CANDIDATES, "query": foreign}


def _is_found(index: Index, smoke: SmokeQuery, sample: dict[str, Any], query: dict[str, Any]) -> bool:
    """Return whether the query finds its sample; False when the sample is no longer what the query was made of.

    :raises GateFailed: when the sample is still the same
    """
    itself = {"ids": {"values": [sample["_id"]]}}
    if _search(index, smoke, {"query": {"bool": {"must": [query], "filter": [itself]}}, "_source": False}):
        return True
    now = _search(index, smoke, {"query": itself, "_source": False})
    if [hit["_seq_no"] for hit in now] == [sample["_seq_no"]]:
        raise GateFailed(
            f"{index.name}: the smoke query {smoke.name!r} does not find document {sample['_id']!r}: {query}"
        )
    return False


def _search(index: Index, smoke: SmokeQuery, body: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        answer = index.search(body | {"seq_no_primary_term": True}, _SAME_COPIES)
    except RequestRejected as error:
        raise GateFailed(f"{index.name}: OpenSearch refuses the smoke query {smoke.name!r}: {error}") from error
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _filled(template: Any, document: dict[str, Any]) -> dict[str, Any]:
    """Return the query about a document. When a value is a list, one of its values is enough.

    :raises _NoQuestion: when the document has no value that can be asked for
    """
    queries = []
    for choice in range(_LIST_VALUES):
        query = _fill(template, document, choice)
        if query not in queries:
            queries.append(query)
    if sum(_words(query) - _words(template) for query in queries) > _MOST_WORDS:
        raise _NoQuestion
    return {"bool": {"should": queries, "minimum_should_match": 1}}


def _words(query: Any) -> int:
    return len(_WORD.findall(json.dumps(query, ensure_ascii=False)))


def _fill(template: Any, document: dict[str, Any], choice: int) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, document, choice) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, document, choice) for value in template]
    match = _PLACEHOLDER.fullmatch(template) if isinstance(template, str) else None
    if match is None:
        return template
    value = _value(document, match[1], choice)
    if match[2] is None:
        return value
    if not isinstance(value, str):
        raise _NoQuestion
    return value[: -(-len(value) // 2)] if match[2] == "typed" else _misspelt(value)


def _value(document: Any, path: str, choice: int) -> Any:
    value = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, list):
            value = value[min(choice, len(value) - 1)] if value else None
    if value is None:
        raise _NoQuestion
    return value


def _misspelt(text: str) -> str:
    """Return the text with two middle letters exchanged, if that is one mistake after the analysis, too."""
    if not _CAN_BE_MISSPELT.fullmatch(text):
        raise _NoQuestion  # a letter such as œ becomes two, and the two would be more than one mistake
    middle = len(text) // 2
    return text[: middle - 1] + text[middle] + text[middle - 1] + text[middle + 1 :]
