"""Documents of our own, in small indexes beside those of the entities."""

import json
from typing import Any
from urllib.parse import quote

from searchsync.catalog import include_dir
from searchsync.cluster.client import Client
from searchsync.cluster.creation import refused
from searchsync.cluster.index import Index
from searchsync.errors import RequestRejected


class Bookkeeping:
    """One such index. Its first write makes it.

    :param name: its name; also the stem of its file in ``include/mappings``. The file may have got fields since the
        index was made
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def put(self, key: str, document: dict[str, Any]) -> None:
        """Write a document, so that a search finds it at once. A document of the same key is replaced."""
        path, params = self._path(key), {"refresh": "true"}
        try:
            self._client.request("PUT", path, body=document, params=params)
        except RequestRejected as error:
            if error.status == 404:
                self._create()
            elif error.error_type == "strict_dynamic_mapping_exception":
                self._client.request("PUT", f"/{self._name}/_mapping", body=self._file()["mappings"])
            else:
                raise
            self._client.request("PUT", path, body=document, params=params)

    def find(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the hits of a search; there are none before anything was written."""
        hits: list[dict[str, Any]] = self._search(body)["hits"]["hits"]
        return hits

    def aggregated(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the aggregations of a search, each without a bucket before anything was written."""
        found: dict[str, Any] = self._search(body).get("aggregations", {})
        return {name: found.get(name, {"buckets": []}) for name in body["aggs"]}

    def remove(self, key: str, *, version: tuple[int, int]) -> None:
        """Delete a document if nobody changed it since it was found.

        :param version: ``_seq_no`` and ``_primary_term`` of the document that was found
        """
        params = {"refresh": "true", "if_seq_no": version[0], "if_primary_term": version[1]}
        try:
            self._client.request("DELETE", self._path(key), params=params)
        except RequestRejected as error:
            if error.status not in (404, 409):
                raise

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        return Index(self._client, self._name).search(body, {"ignore_unavailable": "true"})

    def _path(self, key: str) -> str:
        return f"/{self._name}/_doc/{quote(key, safe='')}"

    def _create(self) -> None:
        try:
            self._client.request("PUT", f"/{self._name}", body=self._file())
        except RequestRejected as error:
            if error.error_type != "resource_already_exists_exception":  # by somebody else at the same moment
                raise refused(f"include/mappings/{self._name}.json", error) from error

    def _file(self) -> dict[str, Any]:
        file = include_dir() / "mappings" / f"{self._name}.json"
        body: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return body
