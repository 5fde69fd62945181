"""The parameters of an entity, as OpenAPI describes them. What a schema allows is never refused for its type or range.

``sort=distance`` needs ``near``, and a cursor has to be one of the same search: no schema can say that.
"""

from typing import Any

from search_api.query.parse import DEFAULT_LIMIT, MAX_LIMIT, MAX_SUGGESTIONS
from search_api.query.request import DISTANCE, RELEVANCE
from search_api.query.searchable import Parameter, Searchable
from search_api.query.values import MAX_CURSOR, MAX_KM, MAX_TEXT
from searchsync.mapping import field_types
from searchsync.mapping.searching import Kind

JSON = dict[str, Any]

_MOST_OF_ONE = 10
"""Number of values of one filter that is described; how many all filters may have together, no schema can say."""

_PLAIN = "[^\\u0000-\\u001f\\u007f-\\u009f]"
"""Pattern of a character that no text is refused for."""

_LATITUDE = r"-?([0-8]?[0-9](\.[0-9]{1,9})?|90)"
_LONGITUDE = r"-?(([0-9]?[0-9]|1[0-7][0-9])(\.[0-9]{1,9})?|180)"
_KM = r"([1-9][0-9]{0,3}|1[0-9]{4})(\.[0-9]{1,9})?"

_Q = {"type": "string", "maxLength": MAX_TEXT, "pattern": f"^{_PLAIN}*$"}
_KEYWORD = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": f"^{_PLAIN}+$"}
_CURSOR = {"type": "string", "minLength": 1, "maxLength": MAX_CURSOR, "pattern": "^[A-Za-z0-9_-]+$"}
_NEAR = {"type": "string", "pattern": f"^{_LATITUDE},{_LONGITUDE},{_KM}$"}
_BOOLEAN = {"type": "boolean"}
_DATE = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}

_TOLD = {
    "q": "What is looked for, as somebody types it.",
    "near": "Only hits in a circle: latitude, longitude and kilometres.",
    "sort": "The order of hits. A - puts the greatest value of a field first. distance needs near.",
    "limit": "The greatest number of hits.",
    "cursor": "next_cursor of the page before, with the same q, filters, near and sort.",
    "fields": "The fields that hits show; all, if it is left out.",
    "facets": "The fields whose most frequent values are counted.",
    "highlight": "Whether hits show where they match: HTML, with <em> around what matches.",
}
_EXAMPLES: JSON = {"q": "berlin", "near": "52.52,13.4,25", "limit": 5, "highlight": True}


def search(searchable: Searchable) -> list[JSON]:
    """Return the parameters of a search in an address."""
    common = _common(searchable) | ({"near": _NEAR} if searchable.near else {})
    described = [_parameter(name, schema, _TOLD[name]) for name, schema in common.items()]
    for name, parameter in searchable.parameters.items():
        schema = _value(searchable, parameter)
        if parameter.field.kind is Kind.KEYWORD:
            schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": _MOST_OF_ONE}
        described.append(_parameter(name, schema, _meaning(parameter)))
    return described


def body(searchable: Searchable) -> JSON:
    """Return the media type of the JSON document that asks the same."""
    circle = {
        "type": "object",
        "required": ["lat", "lon", "km"],
        "additionalProperties": False,
        "properties": {
            "lat": {"type": "number", "minimum": -90, "maximum": 90},
            "lon": {"type": "number", "minimum": -180, "maximum": 180},
            "km": {"type": "number", "minimum": 0.001, "maximum": MAX_KM},
        },
    }
    common = _common(searchable) | ({"near": circle} if searchable.near else {})
    properties = {name: {**schema, "description": _TOLD[name]} for name, schema in common.items()}
    for name, parameter in searchable.parameters.items():
        schema = _value(searchable, parameter)
        if parameter.field.kind is Kind.KEYWORD:
            listed = {"type": "array", "items": schema, "minItems": 1, "maxItems": _MOST_OF_ONE}
            schema = {"anyOf": [schema, listed]}
        properties[name] = {**schema, "description": _meaning(parameter)}
    example = {"q": _EXAMPLES["q"], "limit": _EXAMPLES["limit"], "facets": [*searchable.facets][:2]}
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"schema": schema, "example": {name: value for name, value in example.items() if value}}


def suggest(searchable: Searchable) -> list[JSON]:
    """Return the parameters of a request for suggestions."""
    q = {**_Q, "minLength": 1, "pattern": f"^[^\\s\\u0000-\\u001f\\u007f-\\u009f]{_PLAIN}*$"}
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_SUGGESTIONS, "default": DEFAULT_LIMIT}
    told = f"The beginning of a name of {searchable.name}."
    return [
        _parameter("q", q, told) | {"required": True, "example": "ber"},
        _parameter("limit", limit, "The greatest number of suggestions."),
    ]


def _common(searchable: Searchable) -> JSON:
    orders = [RELEVANCE, *([DISTANCE] if searchable.near else [])]
    orders += [order for name in searchable.sorts for order in (name, f"-{name}")]
    found: JSON = {
        "q": _Q,
        "sort": {"type": "string", "enum": orders},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "cursor": _CURSOR,
        "fields": _some(searchable.fields),
        "highlight": _BOOLEAN,
    }
    return found | ({"facets": _some(searchable.facets)} if searchable.facets else {})


def _some(names: Any) -> JSON:
    return {"type": "array", "items": {"enum": [*names]}, "minItems": 1, "uniqueItems": True}


def _value(searchable: Searchable, parameter: Parameter) -> JSON:
    kind = parameter.field.kind
    if kind in (Kind.WHOLE, Kind.DECIMAL):
        field = field_types.of_path(searchable.properties, parameter.field.name) or {}
        most = 10 ** field_types.safe_digits(field) - 1
        return {"type": "integer" if kind is Kind.WHOLE else "number", "minimum": -most, "maximum": most}
    others: dict[Kind, JSON] = {Kind.KEYWORD: _KEYWORD, Kind.DATE: _DATE, Kind.BOOLEAN: _BOOLEAN}
    return others[kind]


def _meaning(parameter: Parameter) -> str:
    field, kind = parameter.field.name, parameter.field.kind
    if parameter.bound:
        which = "least" if parameter.bound == "min" else "greatest"
        day = " A day means all of it; a time has its zone." if kind is Kind.DATE else ""
        return f"The {which} value of {field} that is found, itself included.{day}"
    return f"The value of {field}; of several, any." if kind is Kind.KEYWORD else f"Whether {field} is true."


def _parameter(name: str, schema: JSON, told: str) -> JSON:
    described: JSON = {"name": name, "in": "query", "description": told, "schema": schema}
    described |= {"example": _EXAMPLES[name]} if name in _EXAMPLES else {}
    if schema.get("type") == "array":  # several values of a filter come one by one, names with commas between them
        described |= {"style": "form", "explode": name not in ("fields", "facets")}
    return described
