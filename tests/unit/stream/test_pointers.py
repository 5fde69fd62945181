"""Where a pointer may lead: what it names is read, and decides which write wins."""

import pytest

from searchsync.catalog import entity
from searchsync.stream import pointers
from searchsync.stream.dead_letters import Pointer, Unreadable
from searchsync.stream.pointers import Origins

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/members"


@pytest.mark.parametrize("table", [TABLE.replace("members", "others"), f"{TABLE}-of-somebody-else"])
def test_a_pointer_to_another_tables_stream_is_not_followed(table: str) -> None:
    """Its positions are another table's: with a higher one, an item would refuse its own later changes."""
    pointer = Pointer(f"{table}/stream/2026-11-30T00:00:00.000", "shard", "1", "2", "", "", 2, "any")
    with pytest.raises(Unreadable, match="not to a stream of"):  # before anything is asked: there is nobody to ask
        pointers.resolve(Origins(None, None), entity("members"), pointer, table=lambda: TABLE)
