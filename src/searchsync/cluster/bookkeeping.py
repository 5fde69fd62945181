"""Documents of our own, in small indexes beside those of the entities. Such an index is made by its first write."""

import json
from typing import Any
from urllib.parse import quote

import opensearchpy

from searchsync.catalog import include_dir
from searchsync.cluster import indexes, reads
from searchsync.cluster.client import request
from searchsync.errors import RequestRejected


def put(client: opensearchpy.OpenSearch, index: str, key: str, document: dict[str, Any]) -> None:
    """Write a document, so that a search finds it at once. A document of the same key is replaced.

    :param index: name of the index; also the stem of its file in ``include/mappings``. The file may have got fields
        since the index was made
    """
    path, params = f"/{index}/_doc/{quote(key, safe='')}", {"refresh": "true"}
    try:
        request(client, "PUT", path, body=document, params=params)
    except RequestRejected as error:
        if error.status == 404:
            _create(client, index)
        elif error.error_type == "strict_dynamic_mapping_exception":
            request(client, "PUT", f"/{index}/_mapping", body=_file(index)["mappings"])
        else:
            raise
        request(client, "PUT", path, body=document, params=params)


def find(client: opensearchpy.OpenSearch, index: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the hits of a search; there are none before anything was written."""
    params = {"ignore_unavailable": "true"}
    hits: list[dict[str, Any]] = reads.search(client, index, body, params)["hits"]["hits"]
    return hits


def remove(client: opensearchpy.OpenSearch, index: str, key: str, *, version: tuple[int, int]) -> None:
    """Delete a document if nobody changed it since it was found.

    :param version: ``_seq_no`` and ``_primary_term`` of the document that was found
    """
    params = {"refresh": "true", "if_seq_no": version[0], "if_primary_term": version[1]}
    try:
        request(client, "DELETE", f"/{index}/_doc/{quote(key, safe='')}", params=params)
    except RequestRejected as error:
        if error.status not in (404, 409):
            raise


def _create(client: opensearchpy.OpenSearch, index: str) -> None:
    try:
        request(client, "PUT", f"/{index}", body=_file(index))
    except RequestRejected as error:
        if error.error_type != "resource_already_exists_exception":  # by somebody else at the same moment
            raise indexes.refused(f"include/mappings/{index}.json", error) from error


def _file(index: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((include_dir() / "mappings" / f"{index}.json").read_text("utf-8"))
    return body
