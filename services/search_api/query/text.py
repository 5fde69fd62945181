"""The one text clause of a search."""

from typing import Any

from search_api.query.searchable import Searchable


def text_query(searchable: Searchable, q: str) -> dict[str, Any]:
    """Return the clause that finds and scores documents by what was typed."""
    roles = searchable.text
    fields = [*(f"{name}^3" for name in roles.names), *roles.other_names, *roles.words]
    found = {"multi_match": {"query": q, "fields": fields, "type": "cross_fields", "operator": "and"}}
    return {"constant_score": {"filter": found}}


def suggest_query(searchable: Searchable, q: str) -> dict[str, Any]:
    """Return the clause that finds documents by the beginning of a name."""
    return {"multi_match": {"query": q, "fields": [*searchable.text.names], "operator": "and"}}
