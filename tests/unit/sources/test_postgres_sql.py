"""The SQL that is composed, against the text that the module shows."""

import re

from searchsync.catalog import CATALOG
from searchsync.sources import postgres_sql
from searchsync.sources.postgres_columns import Columns
from searchsync.sources.postgres_sql import Partition, Queries, Read


def plain(text: str) -> str:
    """Without what PostgreSQL does not need: white space, and quotes around names."""
    return re.sub(r'[\s"]', "", text)


def test_the_page_query_is_the_one_that_the_module_shows() -> None:
    shown = "".join(line for line in (postgres_sql.__doc__ or "").splitlines() if line.startswith("    "))
    query, values = Queries(
        CATALOG["locations"], "SELECT l.location_id::text AS _id, l.location_id, l.name FROM locations AS l"
    ).page(
        Columns(("location_id", "name"), ("integer",)),
        Read("<position>", "<time>"),
        Partition(upper=("100",)),
        ["41"],
        rows=500,
        page_bytes=5_000_000,
    )
    assert plain(query.as_string(None)) == plain(shown)
    assert values == ["41", "100"]
