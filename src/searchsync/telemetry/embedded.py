"""CloudWatch's embedded metric format: a line of a log, from which CloudWatch makes metrics.

The stream's function imports this, so it stands on the standard library alone.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

NAMESPACE = "SearchSync"


def embedded(values: Mapping[str, float], units: Mapping[str, str], dimensions: Mapping[str, str]) -> dict[str, Any]:
    """Return values as a document of the embedded metric format, of this moment.

    :param units: of each value, by name
    :param dimensions: their values, by name; metrics have no other dimension
    """
    described: Sequence[Mapping[str, str]] = [{"Name": name, "Unit": units[name]} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [[*dimensions]], "Metrics": described}
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        **dimensions,
        **values,
    }
