"""The dashboard of OpenSearch Dashboards: a chart on a field that is not there is empty, as if all were well.

Dashboards itself is not installed here. Each chart's aggregations are asked of OpenSearch as Dashboards asks for them.
"""

import json
from collections import Counter
from typing import Any, Final

import pytest

from searchsync.catalog import include_dir
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.compare import differences
from searchsync.quality.history import INDEX, History

LINES: Final[list[dict[str, Any]]] = [
    json.loads(line) for line in (include_dir() / "dashboards" / "quality.ndjson").read_text("utf-8").splitlines()
]
OBJECTS: Final = {(one["type"], one["id"]): one for one in LINES[:-1]}
CHARTS: Final = [one["attributes"] for (kind, _), one in OBJECTS.items() if kind == "visualization"]
KINDS: Final = [
    kind.replace(" ", "_")
    for kind in (
        *(differences.MISSING, differences.ORPHAN, differences.STALE, differences.CONTENT),
        *(differences.TOMBSTONE, differences.FUTURE, differences.FOREIGN),
    )
]
NUMBERS: Final = {"long", "float"}
FITTING: Final = {
    "date_histogram": {"date"},
    "terms": {"keyword", "boolean"},
    "sum": NUMBERS,
    "max": NUMBERS,
}


def fields() -> dict[str, str]:
    """Return the type of each field that can be aggregated, by its path."""
    mapping = json.loads((include_dir() / "mappings" / f"{INDEX}.json").read_text("utf-8"))

    def of(properties: dict[str, Any], path: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, field in properties.items():
            found |= (
                of(field["properties"], f"{path}{name}.") if "properties" in field else {path + name: field["type"]}
            )
        return found

    return of(mapping["mappings"]["properties"], "")


def by_title(title: str) -> dict[str, Any]:
    """Return what a chart shows, by the title that people see."""
    (state,) = [json.loads(chart["visState"]) for chart in CHARTS if chart["title"] == title]
    return dict(state)


def request_of(chart: dict[str, Any]) -> dict[str, Any]:
    """Return the search that Dashboards makes for a chart: its buckets in each other, its figures in the innermost."""
    aggs = json.loads(chart["visState"])["aggs"]
    body: dict[str, Any] = {
        agg["id"]: {agg["type"]: {"field": agg["params"]["field"]}}
        for agg in aggs
        if agg["schema"] == "metric" and agg["type"] != "count"
    }
    for agg in reversed([agg for agg in aggs if agg["schema"] != "metric"]):
        params: dict[str, Any] = {"field": agg["params"]["field"]}
        if agg["type"] == "terms":
            by = agg["params"]["orderBy"]
            params |= {"size": agg["params"]["size"], "order": {by if by in body else "_count": "desc"}}
        else:
            params |= {"fixed_interval": "3h", "min_doc_count": 1}
        body = {agg["id"]: {agg["type"]: params, "aggs": body}}
    query = json.loads(chart["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]
    name, _, value = query.partition(": ")
    return {"size": 0, "query": {"term": {name: value}} if query else {"match_all": {}}, "aggs": body}


def test_the_file_is_what_dashboards_exports() -> None:
    assert LINES[-1] == {"exportedCount": len(OBJECTS), "missingRefCount": 0, "missingReferences": []}
    for key, one in OBJECTS.items():
        assert one["migrationVersion"].keys() == {one["type"]}, key
        assert all((reference["type"], reference["id"]) in OBJECTS for reference in one["references"]), key
    pattern = OBJECTS["index-pattern", INDEX]["attributes"]
    assert (pattern["title"], fields()[pattern["timeFieldName"]]) == (INDEX, "date")


def test_each_chart_is_on_the_dashboard_and_none_covers_another() -> None:
    board = OBJECTS["dashboard", "searchsync-quality"]
    panels = json.loads(board["attributes"]["panelsJSON"])
    shown = {reference["name"]: (reference["type"], reference["id"]) for reference in board["references"]}
    assert {shown[panel["panelRefName"]] for panel in panels} == {
        key for key in OBJECTS if key[0] in ("visualization", "search")
    }
    cells = Counter(
        (x, y)
        for at in (panel["gridData"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    )
    assert max(cells.values()) == 1
    assert max(x for x, _ in cells) < 48, "its grid has so many columns"


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart["title"])
def test_the_fields_of_a_chart_are_there_and_can_be_counted(chart: dict[str, Any]) -> None:
    state = json.loads(chart["visState"])
    assert state["title"] == chart["title"]
    types = fields()
    for agg in state["aggs"]:
        if agg["type"] != "count":
            assert types[agg["params"]["field"]] in FITTING[agg["type"]], agg
    drawn = {series["data"]["id"] for series in state["params"].get("seriesParams", [])}
    assert drawn in (set(), {agg["id"] for agg in state["aggs"] if agg["schema"] == "metric"})


def test_each_kind_of_difference_is_drawn() -> None:
    drawn = {agg["params"]["field"] for agg in by_title("Proven differences by kind")["aggs"] if agg["type"] == "sum"}
    assert drawn == {f"kinds.{kind}" for kind in KINDS}


def test_the_list_of_runs_has_fields_that_are_there() -> None:
    runs = OBJECTS["search", "searchsync-quality-runs"]["attributes"]
    assert {*runs["columns"], *(name for name, _ in runs["sort"])} <= fields().keys()


def test_charts_show_what_runs_found(client: Client) -> None:
    """Asked of OpenSearch: two runs of members, of which one found much, and one of an index that is not live."""
    history = History(client)
    members = {"entity": "members", "index": "members-1", "live": True, "level": "full"}
    history.keep(
        members
        | {"at": "2026-11-30T03:00:00+00:00", "run": "r1", "verdict": "bad", "failed": ["rows are there", "no orphan"]}
        | {"kinds": dict.fromkeys(KINDS, 2) | {KINDS[-1]: 5}, "repaired": 7, "seconds": 40.5}
        | {"index_documents": 90, "operations": {"waiting_messages": 12, "stream_lag_seconds": 301, "gaps": 1}}
    )
    history.keep(members | {"at": "2026-11-30T09:00:00+00:00", "run": "r2", "verdict": "good", "index_documents": 95})
    history.keep({**members, "live": False, "at": "2026-11-30T09:30:00+00:00", "run": "r3", "verdict": "good"})
    answers = {}
    for chart in CHARTS:
        answer = Index(client, INDEX).search(request_of(chart), {})
        assert answer["_shards"]["failed"] == 0, chart["title"]
        answers[chart["title"]] = answer["aggregations"]
    verdicts = [
        (bucket["key_as_string"][11:13], {inner["key"]: inner["doc_count"] for inner in bucket["3"]["buckets"]})
        for bucket in answers["Runs by verdict"]["2"]["buckets"]
    ]
    assert verdicts == [("03", {"bad": 1}), ("09", {"good": 2})]
    failed = {bucket["key"] for bucket in answers["Expectations that did not hold"]["2"]["buckets"]}
    assert failed == {"rows are there", "no orphan"}
    first = answers["Proven differences by kind"]["20"]["buckets"][0]
    assert [first[str(number)]["value"] for number in range(1, 8)] == [2, 2, 2, 2, 2, 2, 5]
    queues = answers["Messages that wait for the replay, and for a person"]["3"]["buckets"]
    assert queues[0]["4"]["buckets"][0]["1"]["value"] == 12
    assert [bucket["doc_count"] for bucket in queues] == [1, 1], "an index that is not live is not shown there"
