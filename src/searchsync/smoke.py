"""Smoke queries: searches that a new index has to answer before it is served.

Each entry of ``include/mappings/<entity>.smoke.json`` has a ``name``, a ``sample`` (query that picks documents to look
for) and a ``query`` in which ``${field}`` stands for the sample's value and ``${field|misspelt}`` for that value with
two letters exchanged. The query has to find the sample: no data of any particular table is assumed.
"""

import re
from typing import Any

import opensearchpy

from searchsync.entities import Entity
from searchsync.errors import GateFailed, RequestRejected
from searchsync.opensearch import request
from searchsync.policies import policy

_PLACEHOLDER = re.compile(r"\$\{([\w.]+)(\|misspelt)?\}")


def run(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> dict[str, int]:
    """Run all smoke queries.

    :returns: per query, the samples it found; 0 when the index has no document to try it with
    :raises GateFailed: when a query is refused or does not find its sample
    """
    samples = int(policy("thresholds")["smoke_samples"])
    return {smoke["name"]: _run_one(client, entity, name, smoke, samples) for smoke in entity.smoke_queries}


def _run_one(client: opensearchpy.OpenSearch, entity: Entity, name: str, smoke: dict[str, Any], samples: int) -> int:
    picked = {"bool": {"must": [smoke["sample"]], "filter": [entity.visible]}}
    # A fixed seed: a failure can be looked at again.
    random = {"function_score": {"query": picked, "random_score": {"seed": 7, "field": "_seq_no"}}}
    hits = _search(client, name, smoke, random, size=samples)
    for hit in hits:
        wanted = {
            "bool": {"must": [_fill(smoke["query"], hit["_source"])], "filter": [{"ids": {"values": [hit["_id"]]}}]}
        }
        if not _search(client, name, smoke, wanted, size=1):
            raise GateFailed(
                f"{name}: the smoke query {smoke['name']!r} does not find document {hit['_id']!r}: {wanted}"
            )
    return len(hits)


def _search(
    client: opensearchpy.OpenSearch, name: str, smoke: dict[str, Any], query: dict[str, Any], *, size: int
) -> list[dict[str, Any]]:
    try:
        answer = request(client, "POST", f"/{name}/_search", body={"size": size, "query": query})
    except RequestRejected as error:
        raise GateFailed(f"{name}: OpenSearch refuses the smoke query {smoke['name']!r}: {error}") from error
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _fill(template: Any, document: dict[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, document) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, document) for value in template]
    match = _PLACEHOLDER.fullmatch(template) if isinstance(template, str) else None
    if match is None:
        return template
    value: Any = document
    for part in match[1].split("."):
        value = value[part]
    return _misspell(value) if match[2] else value


def _misspell(text: str) -> str:
    middle = len(text) // 2
    return text[: middle - 1] + text[middle] + text[middle - 1] + text[middle + 1 :]
