"""What a person sees at the end: plain two-column tables."""

from collections.abc import Iterable
from typing import Any

from local.runs import Outcome

_LABELS = {"documents_per_second": "docs/s"}
_FIRST = (
    "documents",
    "seconds",
    "documents_per_second",
    "index",
)  # the store that results pass through does not keep their order


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns, the first as wide as its longest text."""
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in pairs)


def result_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """The result of a run: its single values as they are, its groups as one line of `name value` each."""
    rows = [("run", outcome.run_id), ("run took", f"{outcome.seconds:.1f} s")]
    if isinstance(outcome.result, dict):
        names = [name for name in _FIRST if name in outcome.result] + sorted(outcome.result.keys() - set(_FIRST))
        rows.extend((_LABELS.get(name, name.replace("_", " ")), _text(outcome.result[name])) for name in names)
    elif outcome.result is not None:
        rows.append(("result", _text(outcome.result)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in sorted(value.items())) or "-"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "-"
    return str(value) or "-"
