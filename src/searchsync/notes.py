"""Documents of our own, in small indexes beside those of the entities, made when they are first written to."""

import json
from typing import Any
from urllib.parse import quote

import opensearchpy

from searchsync.entities import include_dir
from searchsync.errors import RequestRejected
from searchsync.opensearch import request


def put(client: opensearchpy.OpenSearch, index: str, key: str, document: dict[str, Any]) -> None:
    """Write a document, to be found at once; the same key replaces it.

    :param index: also the stem of its file in ``include/mappings``
    """
    path, params = f"/{index}/_doc/{quote(key, safe='')}", {"refresh": "true"}
    try:
        request(client, "PUT", path, body=document, params=params)
    except RequestRejected as error:
        if error.status != 404:
            raise
        _create(client, index)
        request(client, "PUT", path, body=document, params=params)


def find(client: opensearchpy.OpenSearch, index: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The hits of a search; none before anything was written."""
    params = {"ignore_unavailable": "true"}
    hits: list[dict[str, Any]] = request(client, "POST", f"/{index}/_search", body=body, params=params)["hits"]["hits"]
    return hits


def remove(client: opensearchpy.OpenSearch, index: str, key: str) -> None:
    """Delete a document, if it is there."""
    try:
        request(client, "DELETE", f"/{index}/_doc/{quote(key, safe='')}", params={"refresh": "true"})
    except RequestRejected as error:
        if error.status != 404:
            raise


def _create(client: opensearchpy.OpenSearch, index: str) -> None:
    body = json.loads((include_dir() / "mappings" / f"{index}.json").read_text("utf-8"))
    try:
        request(client, "PUT", f"/{index}", body=body)
    except RequestRejected as error:
        if error.error_type != "resource_already_exists_exception":  # by somebody else at the same moment
            raise
