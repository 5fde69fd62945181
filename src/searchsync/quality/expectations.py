"""Expectations on figures, a comparison and the source's own rows, by Great Expectations, with Data Docs as evidence.

``include/expectations/<entity>.yaml`` names them: each has a name for people, a severity, and the type and arguments of
an expectation (https://greatexpectations.io/expectations/). A ``limit`` names a number of ``freshness.yaml``, or of the
entity's file.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml

from searchsync.catalog import Entity, include_dir
from searchsync.compare.differences import CONTENT, FOREIGN, FUTURE, MISSING, ORPHAN, STALE, TOMBSTONE, DiffReport
from searchsync.config import freshness
from searchsync.errors import BadParams
from searchsync.sources.base import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.sources.postgres import PostgresSource

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by the import: it would tell its makers of each run
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # its import alone writes 200 lines
import great_expectations as gx
from great_expectations.checkpoint.actions import UpdateDataDocsAction
from great_expectations.exceptions.exceptions import GreatExpectationsError
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

SAMPLE_ITEMS = 1_000


@dataclass(frozen=True)
class Result:
    """One expectation: whether it holds, and what was seen."""

    name: str
    severity: str
    holds: bool
    observed: str


@dataclass(frozen=True)
class Evaluation:
    """All expectations of a run.

    :ivar docs: the first page of the Data Docs
    """

    results: list[Result]
    docs: str

    @property
    def failed(self) -> list[Result]:
        """The expectations that do not hold, critical ones first."""
        return sorted((result for result in self.results if not result.holds), key=lambda result: result.severity)

    def as_dict(self) -> dict[str, Any]:
        """Return this for XCom and the run's folder."""
        return {"results": [asdict(result) for result in self.results], "docs": self.docs}


def evaluate(source: Source, operations: Mapping[str, float], report: DiffReport | None, folder: Path) -> Evaluation:
    """Validate all expectations. Write the Data Docs below ``folder``.

    :param operations: figures by name
    :param report: None where nothing was compared; then the rows are not looked at either
    :raises BadParams: when the file of expectations is missing, or names something that does not exist
    """
    entity = source.entity
    described = _described(entity)
    context: Any = gx.get_context(mode="ephemeral")  # in memory: the address of the source holds its password
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    docs = folder / "data_docs"
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site(site_config=site, site_name="evidence")
    results = _validate(context, "operations", pd.DataFrame([operations]), described["operations"])
    if report is None:
        return Evaluation(results, str(docs / "index.html"))
    results += _validate(context, "comparison", pd.DataFrame([_table(report)]), described["comparison"])
    if isinstance(source, PostgresSource):
        results += _validate_query(context, source, str(described["query"]), described["rows"])
    else:
        results += _validate_items(context, _items(cast(DynamoSource, source)), described["rows"])
    return Evaluation(results, str(docs / "index.html"))


def _described(entity: Entity) -> dict[str, Any]:
    path = include_dir() / "expectations" / f"{entity.name}.yaml"
    try:
        described: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        query = ["query"] if entity.source == "postgres" else []
        _ = [described[part] for part in ("operations", "comparison", "rows", *query)]
        limits = asdict(freshness(entity))
        for expected in described["operations"]:
            if "limit" in expected:
                expected["max_value"] = limits[expected.pop("limit")]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BadParams(f"cannot read the expectations {path}: {error!r}") from error
    return described


def _table(report: DiffReport) -> dict[str, int]:
    """Return the comparison as one row. If it looked at single keys, its counts leave out what is only on its way."""
    kinds = report.kinds
    missing, orphan = kinds.get(MISSING, 0) + kinds.get(TOMBSTONE, 0), kinds.get(ORPHAN, 0) + kinds.get(FOREIGN, 0)
    return {
        "source_documents": report.source_count,
        "index_documents": report.index_count if report.not_looked_at else report.source_count - missing + orphan,
        "missing": missing,
        "orphan": orphan,
        "stale": kinds.get(STALE, 0),
        "changed_around": kinds.get(CONTENT, 0) + kinds.get(FUTURE, 0),
        "not_looked_at": report.not_looked_at,
        "unusable": report.unusable,
        "left_out": sum(report.dropped.values()),
        "reindex_due": int(report.reindex_due),
    }


def _items(source: DynamoSource) -> pd.DataFrame:
    """Return the first items of a scan, as documents."""
    found = islice(source.sample(), SAMPLE_ITEMS)
    return pd.DataFrame(list(found))


def _validate(context: Any, name: str, frame: pd.DataFrame, expectations: list[dict[str, Any]]) -> list[Result]:
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all")
    return _run(context, name, batch, expectations, {"dataframe": frame})


def _validate_items(context: Any, frame: pd.DataFrame, expectations: list[dict[str, Any]]) -> list[Result]:
    """Validate items. Each value of a list counts by itself, as it is searched; an absent field has no value."""
    wanted = dict.fromkeys(str(described["column"]) for described in expectations if "column" in described)
    frame = frame.reindex(columns=[*frame.columns, *(column for column in wanted if column not in frame.columns)])
    lists = {column for column in wanted if frame[column].map(lambda value: isinstance(value, list)).any()}
    alike = [described for described in expectations if described.get("column") not in lists]
    results = _validate(context, "rows", frame, alike) if alike else []
    for column in sorted(lists):
        values = frame[[column]].explode(column, ignore_index=True)
        of_column = [described for described in expectations if described.get("column") == column]
        results += _validate(context, f"rows_{column}", values, of_column)
    return results


def _validate_query(
    context: Any, source: PostgresSource, query: str, expectations: list[dict[str, Any]]
) -> list[Result]:
    """Validate rows in the database: no row leaves it."""
    # Without a temporary table: the reader may write nothing.
    rows = context.data_sources.add_sql("rows", connection_string=source.sqlalchemy_url(), create_temp_table=False)
    asset = rows.add_query_asset("rows", query=query)
    return _run(context, "rows", asset.add_batch_definition_whole_table("all"), expectations, None)


def _run(
    context: Any, name: str, batch: Any, expectations: list[dict[str, Any]], parameters: dict[str, Any] | None
) -> list[Result]:
    suite = gx.ExpectationSuite(name=name)
    for described in expectations:
        try:
            suite.add_expectation_configuration(_configured(described))
        except (KeyError, ValueError, TypeError, GreatExpectationsError) as error:
            raise BadParams(f"include/expectations: {name}: {described} cannot be expected: {error!r}") from error
    suite = context.suites.add(suite)
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    action = UpdateDataDocsAction(name="docs", site_names=["evidence"])
    checkpoint = gx.Checkpoint(name=name, validation_definitions=[definition], actions=[action])
    (done,) = context.checkpoints.add(checkpoint).run(batch_parameters=parameters).run_results.values()
    return [_result(result) for result in done.results]


def _configured(described: dict[str, Any]) -> ExpectationConfiguration:
    arguments = {key: value for key, value in described.items() if key not in ("name", "severity", "type")}
    return ExpectationConfiguration(
        type=described["type"],
        kwargs=arguments,
        meta={"name": described["name"]},
        severity=described["severity"],
        notes=described["name"],
    )


def _result(result: Any) -> Result:
    configuration = result.expectation_config
    observed = result.result.get("observed_value", result.result.get("unexpected_count", ""))
    holds, cause = bool(result.success), _cause(result.exception_info or {})
    if cause:
        holds, observed = False, cause
    elif observed is None:
        holds, observed = True, "no values"  # none violates anything
    if isinstance(observed, float):
        observed = round(observed, 2)
    return Result(configuration.meta["name"], configuration.severity.value, holds, str(observed))


def _cause(info: Mapping[str, Any]) -> str:
    """Return why an expectation could not be computed; empty when it was computed."""
    raised = [info] if "raised_exception" in info else info.values()
    causes = dict.fromkeys(str(one.get("exception_message")) for one in raised if one.get("raised_exception"))
    return "; ".join(causes)[:300]
