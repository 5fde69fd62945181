"""Into how many primary shards OpenSearch can split an index."""

MOST_BITS = 10
"""An index can be split up to 1,024 shards by default: 2 to this power."""


def routing_shards(shards: int) -> int:
    """Return OpenSearch's default for ``number_of_routing_shards`` of an index that was made with so many shards.

    It is the number times two as often as the result is 1,024 or less, but at least once
    (``MetadataCreateIndexService.calculateNumRoutingShards``). So 5 shards have 640.
    """
    doublings = max(1, MOST_BITS - (shards - 1).bit_length())
    return shards << doublings


def targets(shards: int, routing: int, *, most: int) -> tuple[int, ...]:
    """Return the numbers of shards that an index can be split into, the smallest first.

    A target is a multiple of the number of shards, and divides the number of routing shards. An index with one shard
    can be split into any number, unless its settings say a number of routing shards.

    :param routing: ``number_of_routing_shards`` of the index; ``routing_shards(shards)`` unless its settings say more
    :param most: the largest number of interest
    """
    if shards == 1 and routing == routing_shards(1):
        return tuple(range(2, most + 1))
    return tuple(n for n in range(2 * shards, min(routing, most) + 1, shards) if routing % n == 0)
