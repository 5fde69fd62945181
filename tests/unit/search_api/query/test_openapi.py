"""What the description allows is understood, and what is understood is described."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from search_api.query import openapi, parse
from search_api.query.searchable import Searchable
from tests.search_requests import LOCATIONS, MEMBERS, asked, document_of

BOTH = pytest.mark.parametrize("searchable", [LOCATIONS, MEMBERS], ids=["locations", "members"])


@BOTH
def test_each_parameter_is_described_and_no_other(searchable: Searchable) -> None:
    names = [parameter["name"] for parameter in openapi.search(searchable)]
    wanted = {*parse.COMMON, *searchable.parameters} - ({"near"} if searchable.near is None else set())
    assert sorted(names) == sorted(wanted)
    assert openapi.body(searchable)["schema"]["properties"].keys() == wanted
    for parameter in openapi.search(searchable) + openapi.suggest(searchable):
        Draft202012Validator.check_schema(parameter["schema"])
        assert parameter["description"].endswith(".")


@BOTH
def test_examples_run(searchable: Searchable) -> None:
    given_pairs = [
        (one["name"], str(one["example"]).lower() if isinstance(one["example"], bool) else str(one["example"]))
        for one in openapi.search(searchable)
        if "example" in one
    ]
    assert parse.parse(searchable, given_pairs).q
    assert parse.parse_json(searchable, openapi.body(searchable)["example"]).q
    assert parse.parse_suggest(searchable, [("q", openapi.suggest(searchable)[0]["example"])])


def from_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows; it raises KeyError for what this does not know."""
    if "anyOf" in schema:
        return st.one_of([from_schema(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    make: dict[str, Any] = {
        "boolean": st.booleans,
        "integer": lambda: st.integers(schema["minimum"], schema["maximum"]),
        "number": lambda: st.floats(schema["minimum"], schema["maximum"]) | from_schema({**schema, "type": "integer"}),
        "string": lambda: _texts(schema),
        "array": lambda: st.lists(
            from_schema(schema["items"]), min_size=1, max_size=schema.get("maxItems", 5), unique="uniqueItems" in schema
        ),
        "object": lambda: st.fixed_dictionaries({name: from_schema(of) for name, of in schema["properties"].items()}),
    }
    if schema.get("minimum") == 0.001:
        return st.floats(0.001, schema["maximum"])
    found: st.SearchStrategy[Any] = make[schema["type"]]()
    return found


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "format" in schema:
        days, hours = st.dates(date(1, 1, 3), date(9999, 12, 29)).map(str), st.times().map(str)
        zone = st.sampled_from(["Z", "+02:00", "-11:30"])
        return days if schema["format"] == "date" else st.builds("{}T{}{}".format, days, hours, zone)
    if schema["pattern"].startswith("^[^"):
        return st.text(
            st.characters(exclude_categories=("Cc", "Cs")), min_size=schema.get("minLength", 0), max_size=500
        )
    return st.from_regex(schema["pattern"].replace("$", r"\Z"))


def written(parameter: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    """A value in an address, in the parameter's style."""
    if isinstance(value, list):
        if not parameter["explode"]:
            return [(parameter["name"], ",".join(value))]
        return [(parameter["name"], one) for one in value]
    return [(parameter["name"], str(value).lower() if isinstance(value, bool) else str(value))]


@BOTH
@given(data=st.data())
def test_what_the_description_allows_is_understood(searchable: Searchable, data: st.DataObject) -> None:
    parameter = data.draw(st.sampled_from(openapi.search(searchable)))
    value = data.draw(from_schema(parameter["schema"]))
    near = [("near", "1,1,1")] if value == "distance" else []
    assert parse.parse(searchable, [*written(parameter, value), *near])
    name, schema = data.draw(st.sampled_from([*openapi.body(searchable)["schema"]["properties"].items()]))
    value = msgspec.json.decode(msgspec.json.encode(data.draw(from_schema(schema))))
    near_place = {"near": {"lat": 1, "lon": 1, "km": 1}} if value == "distance" else {}
    assert parse.parse_json(searchable, {name: value} | near_place)


@given(asked)
def test_what_is_understood_is_described(what: tuple[Searchable, Any]) -> None:
    searchable, request = what
    document = document_of(searchable, request)
    sure = {name: value for name, value in document.items() if not name.endswith(("_min", "_max"))}  # a digit less
    Draft202012Validator(openapi.body(searchable)["schema"]).validate(sure)
