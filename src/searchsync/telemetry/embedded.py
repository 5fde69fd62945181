"""CloudWatch's embedded metric format: a line of a log, from which CloudWatch makes metrics.

The stream's function imports this, so it stands on the standard library alone.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMESPACE = "SearchSync"


def embedded(
    values: Mapping[str, float],
    units: Mapping[str, str],
    dimensions: Mapping[str, str],
    finer: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return values as a document of the embedded metric format, of this moment.

    :param units: of each value, by name
    :param dimensions: their values, by name; metrics have no other dimension
    :param finer: of a dimension that not all metrics have: the names of those that are kept for each value of it, too
    """
    finer = finer or {}
    common = [name for name in dimensions if name not in finer]
    directives = [_directive(common, values, units)]
    directives += [_directive([*common, name], names, units) for name, names in finer.items()]
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": directives},
        **dimensions,
        **values,
    }


def _directive(dimensions: Sequence[str], names: Iterable[str], units: Mapping[str, str]) -> dict[str, Any]:
    described = [{"Name": name, "Unit": units[name]} for name in names]
    return {"Namespace": NAMESPACE, "Dimensions": [[*dimensions]], "Metrics": described}
