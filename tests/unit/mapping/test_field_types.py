"""What a field would change in silence is refused by the column's type, or number by number."""

from decimal import Decimal
from typing import Any

import pytest

from searchsync.catalog import entity
from searchsync.mapping import field_types

SCALED = {"type": "scaled_float", "scaling_factor": 100}


def mapped(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


@pytest.mark.parametrize(
    ("field", "fits", "does_not"),
    [
        (mapped("long"), "smallint integer bigint numeric(18,0) bigint[]",
         "numeric numeric(19,0) numeric(5,2) real double_precision text varchar(5) boolean date numeric[] json"),
        (mapped("integer"), "smallint integer numeric(9,0)", "bigint numeric(10,0) numeric(4,1) text"),
        (mapped("short"), "smallint numeric(4,0)", "integer bigint"),
        (mapped("byte"), "numeric(2,0)", "smallint numeric(3,0)"),
        (mapped("unsigned_long"), "bigint numeric(19,0)", "numeric(20,0) numeric(5,1) real"),
        (mapped("double"), "real double_precision integer numeric(15,7)", "bigint numeric numeric(16,2) text boolean"),
        (mapped("float"), "real smallint numeric(6,2)", "double_precision integer numeric(7,2)"),
        (mapped("half_float"), "numeric(3,1)", "real smallint"),
        (SCALED, "smallint integer numeric(10,2) numeric(15,2) numeric(5,0) numeric(10,2)[]",
         "bigint numeric numeric(16,2) numeric(10,3) real double_precision text boolean"),
        (mapped("boolean"), "boolean", "text integer"),
        (mapped("date"), "date timestamp_with_time_zone timestamp(3)_without_time_zone text",
         "integer bigint numeric(5,0) double_precision boolean"),
        (mapped("date", format="epoch_second"), "bigint numeric numeric(12,1) text", "date real"),
        (mapped("date", format="strict_date_optional_time||epoch_millis"), "date", "bigint"),
        (mapped("keyword"), "text bigint numeric boolean double_precision date uuid mood", ""),
        (mapped("text", fields={"n": mapped("long")}), "bigint", "text"),
        ({"properties": {"a": mapped("long")}}, "json jsonb", "text"),
        (mapped("object", enabled=False), "text json", ""),
    ],
)  # fmt: skip
def test_a_column_has_a_field_that_holds_it(field: dict[str, Any], fits: str, does_not: str) -> None:
    for kind in fits.split():
        assert field_types.why_not(field, kind.replace("_", " ")) == "", kind
    for kind in does_not.split():
        assert field_types.why_not(field, kind.replace("_", " ")), kind


@pytest.mark.parametrize(
    ("field", "held", "not_held"),
    [
        (mapped("long"), ["0", "-9223372036854775808", "9223372036854775807", "5.0"], ["9223372036854775808", "1.5"]),
        (mapped("byte"), ["-128", "127"], ["128", "-129", "0.5"]),
        (mapped("unsigned_long"), ["0", "18446744073709551615"], ["-1", "18446744073709551616"]),
        (SCALED, ["92233720368547758.07", "0.001"], ["92233720368547758.08", "1E+125", "-1E+17"]),
        (mapped("half_float"), ["65504"], ["65505"]),
        (mapped("float"), ["3.4E+38"], ["3.5E+38"]),
        (mapped("double"), ["9.9E+125", "0.1234567890123456789"], []),
        (mapped("keyword"), ["9.9E+125"], []),
        (mapped("date", format="epoch_second"), ["4102444800.5"], []),
        ({"properties": {}}, ["1"], []),
    ],
)
def test_a_number_is_in_the_range_of_its_field(field: dict[str, Any], held: list[str], not_held: list[str]) -> None:
    assert [text for text in held if not field_types.holds(field, Decimal(text))] == []
    assert [text for text in not_held if field_types.holds(field, Decimal(text))] == []


@pytest.mark.parametrize(
    ("kind", "held", "not_held"),
    [
        ("keyword", ["x", 1, True, None, ["a", 1]], [{"a": 1}, ["a", {}]]),
        ("boolean", [True, False, "true", None, [True]], ["yes", "", 1, {}]),
        ("scaled_float", [1.5, None], ["NaN", "1.5", {}]),
        ("date", ["infinity", "0044-03-15 BC", 5], [{}]),
        ("long", ["infinity", 5, True], [{}, [1, 2.5]]),
        ("geo_point", [{"lat": 90, "lon": -180.0}, None, "52.5, 13.4", [13.4, 52.5], [{"lat": 1, "lon": 2}] * 2],
         [{"lat": 95, "lon": 10}, {"lat": 1, "lon": 200}, {"lat": 1}, "95,10", "x", [13.4, 95],
          [{"lat": 95, "lon": 1}]]),
        ("object", [{"a": 1}], []),
    ],
)  # fmt: skip
def test_a_value_that_would_vanish_or_move_is_not_held(kind: str, held: list[Any], not_held: list[Any]) -> None:
    """``_ignored`` does not tell of these. What it tells of (a text that is no date) may stay."""
    field = mapped(kind, scaling_factor=100)
    assert [value for value in held if not field_types.holds(field, value)] == []
    assert [value for value in not_held if field_types.holds(field, value)] == []


def test_a_name_is_followed_into_objects() -> None:
    properties = {"a": {"properties": {"b": mapped("long")}}, "c": mapped("keyword", fields={"d": mapped("text")})}
    assert field_types.of_path(properties, "a.b") == mapped("long")
    assert [field_types.of_path(properties, path) for path in ("a.x", "b", "c.d", "a.b.c")] == [None] * 4


def test_the_mapping_of_places_holds_its_columns() -> None:
    properties = entity("locations").index_body["mappings"]["properties"]
    for name, kind in {"rate": "numeric(10,2)", "population": "bigint", "alternate_names": "text[]"}.items():
        assert field_types.why_not(properties[name], kind) == ""
