"""The numbers of shards that an index can be split into are those that OpenSearch really splits it into."""

from typing import Any

import pytest

from searchsync.capacity.split import routing_shards, targets
from searchsync.cluster.client import Client
from searchsync.errors import RequestRejected

TRIED = (2, 3, 4, 5, 6, 7, 9, 10, 12, 15, 20, 50)


def splits(client: Client, name: str, target: int) -> bool:
    """Whether OpenSearch makes so many shards of an index."""
    settings = {"index.number_of_shards": target, "index.number_of_replicas": 0}
    params = {"wait_for_active_shards": "0"}
    try:
        client.request("POST", f"/{name}/_split/{name}-{target}", body={"settings": settings}, params=params)
    except RequestRejected as error:
        if error.error_type not in ("illegal_argument_exception", "illegal_state_exception"):
            raise
        return False
    client.request("DELETE", f"/{name}-{target}")
    return True


@pytest.mark.parametrize(
    ("shards", "settings", "wanted"),
    [
        (1, {}, {2, 3, 4, 5, 6, 7, 9, 10, 12, 15, 20, 50}),
        (3, {}, {6, 12}),
        (5, {}, {10, 20}),  # and 40, 80, 160, 320, 640: but never 50
        (5, {"number_of_routing_shards": 30}, {10, 15}),
    ],
)
def test_an_index_splits_into_what_was_computed(
    client: Client, shards: int, settings: dict[str, Any], wanted: set[int]
) -> None:
    """Advice to split that OpenSearch refuses would be found out at night, with the index blocked for writes."""
    body = {"number_of_shards": shards, "number_of_replicas": 0, **settings}
    client.request("PUT", "/whole", body={"settings": body})
    metadata = client.request("GET", "/_cluster/state/metadata/whole")["metadata"]["indices"]["whole"]
    routing = settings.get("number_of_routing_shards", routing_shards(shards))
    assert metadata["routing_num_shards"] == routing
    client.request("PUT", "/whole/_block/write")
    done = {target for target in TRIED if target != shards and splits(client, "whole", target)}
    assert done == wanted
    assert set(targets(shards, routing, most=50)) & set(TRIED) == done


def test_the_default_ladder_is_opensearchs(client: Client) -> None:
    for shards in (1, 2, 3, 4, 5, 8, 9, 17, 33, 100):
        client.request(
            "PUT",
            "/made",
            body={"settings": {"number_of_shards": shards, "number_of_replicas": 0}},
            params={"wait_for_active_shards": "0"},
        )
        metadata = client.request("GET", "/_cluster/state/metadata/made")["metadata"]["indices"]["made"]
        assert metadata["routing_num_shards"] == routing_shards(shards)
        client.request("DELETE", "/made")
    assert targets(5, routing_shards(5), most=1024) == (10, 20, 40, 80, 160, 320, 640)
