"""For each alarm two stories as CloudWatch would see them: one that somebody must be told, and one that nobody must.

The newest datapoint is the last one; ``_`` is a period without data.
"""

from typing import Final, NamedTuple

from tests.infra.alarms import Series

_: Final = None
MINUTE: Final = 60_000
"""Milliseconds, in which the age of a stream's iterator is told."""

GIB: Final = 1024**3


class Stories(NamedTuple):
    """What is seen when it is wrong, and when it is not."""

    fires: Series | dict[str, Series]
    quiet: Series | dict[str, Series]


STORIES: Final[dict[str, Stories]] = {
    "stream-behind": Stories(
        fires=[1_000, 16 * MINUTE, 17 * MINUTE, 18 * MINUTE, 19 * MINUTE, 20 * MINUTE],
        # a burst that was caught up with
        quiet=[_, *[14 * MINUTE] * 5, 16 * MINUTE, 17 * MINUTE, 18 * MINUTE, 19 * MINUTE, 2_000, _],
    ),
    "stream-expiring": Stories(
        fires=[721 * MINUTE, _, 722 * MINUTE, 723 * MINUTE],
        quiet=[710 * MINUTE, 719 * MINUTE, 721 * MINUTE, 722 * MINUTE, 719 * MINUTE],
    ),
    "stream-lag": Stories(
        fires=[310, 320, 330, 2, 340, 350, 360, 370, 380, 390],
        quiet=[310, 320, 330, 340, 350, 360, 370, 1, 1, 1],
    ),
    "records-unacknowledged": Stories(
        fires=[1, _, 1, _, 1],  # an outage: an invocation each 70 seconds
        quiet=[0, 0, 100, 100, 0],  # a batch that failed once, and was taken the second time
    ),
    "records-parked": Stories(fires=[0, 140, 0, 400], quiet=[3, 101, 7, 0, 12]),
    "index-bypassed": Stories(fires=[1, 1, 1], quiet=[0, 1, 1, 0, 0]),
    "values-dropped": Stories(fires=[0, 0, 2], quiet=[0, 0, 0]),
    "function-errors": Stories(
        fires={"errors": [3, 0, 4], "invocations": [100, 100, 100]},
        quiet={"errors": [0, 2, 5, 5, 5], "invocations": [10, 100, 1_000, 1_000, 1_000]},
    ),
    "function-throttled": Stories(fires=[1, 5, 2], quiet=[40, 12, 0]),
    "dead-letters": Stories(
        fires=[4, 4, 4, 4, 4, 4],
        quiet=[900, 4, 0, 900, 40, 12, 9, 4, 0],  # the replay empties it every ten minutes
    ),
    "dead-letters-many": Stories(fires=[501, 700, 900], quiet=[900, 900, 400]),
    "dead-letters-old": Stories(fires=[7_100, 7_300, 7_600], quiet=[7_100, 7_300, 0]),
    "parked-for-a-person": Stories(fires=[0, 1], quiet=[0, 0]),
    "cluster-red": Stories(fires=[0, 1], quiet=[0, 0]),
    "cluster-silent": Stories(fires=[3, *[_] * 12], quiet=[*[3] * 9, _, _, 3]),
    "cluster-yellow": Stories(fires=[1] * 15, quiet=[*[1] * 14, 0]),  # a node that was replaced
    "cluster-blocked": Stories(fires=[0, 1, 1, 1], quiet=[0, 1, 0, 1, 0]),
    "cluster-disk": Stories(fires=[25_000] * 5, quiet=[25_000, 25_000, 25_000, 25_000, 40_000]),
    "cluster-memory": Stories(fires=[80, 95, 96, 97], quiet=[96, 97, 90]),
    "cluster-cpu": Stories(fires=[81, 90, 95], quiet=[100, 100, 40]),  # a reindex of half an hour
    "cluster-manager-away": Stories(fires=[1, 0, 0, 0], quiet=[1, 0, 0, 1]),
    "cluster-manager-cpu": Stories(fires=[50, 51, 52], quiet=[60, 60, 49]),
    "cluster-snapshot-failed": Stories(fires=[0, 1], quiet=[0, 0]),
    "cluster-key-away": Stories(fires=[_, 1], quiet=[_, 0]),
    "cluster-errors": Stories(
        fires={"failed": [30, 40, 50], "asked": [300, 300, 300]},
        # Too few requests to say anything; two bad periods; a few errors all the time.
        quiet={"failed": [50, 60, 70, 30, 40, 5, 5], "asked": [60, 70, 90, 300, 300, 300, 300]},
    ),
    "database-disk": Stories(fires=[20 * GIB, 19 * GIB, 18 * GIB], quiet=[19 * GIB, 19 * GIB, 60 * GIB]),
    "database-silent": Stories(fires=[5, *[_] * 5], quiet=[5, 5, _, 5]),
    "database-cpu": Stories(fires=[91, 95, 99], quiet=[99, 99, 60]),
    "broker-full": Stories(fires=[70, 81, 85], quiet=[60, 81, 60]),
    "cache-full": Stories(
        fires={"memory": [95] * 12, "evictions": [5_000] * 12},
        quiet={"memory": [100] * 12, "evictions": [*[5_000] * 11, 900]},  # full, which a cache may be
    ),
    "cache-hits-rare": Stories(
        fires={"hits": [700] * 6, "misses": [500] * 6},
        quiet={"hits": [*[700] * 5, 10], "misses": [*[500] * 5, 90]},  # at night there is nothing to repeat
    ),
    "service-tasks-missing": Stories(
        fires={"running": [2] * 15, "desired": [3] * 15},
        quiet={"running": [*[2] * 14, 3], "desired": [3] * 15},  # a task that was replaced
    ),
    "service-memory": Stories(fires=[91, 93, 95], quiet=[95, 95, 88]),
    "airflow-workers-silent": Stories(fires=[10, *[_] * 5], quiet=[10, _, _, 5]),  # a deployment
    "airflow-tasks-waiting": Stories(fires=[3] * 12, quiet=[*[40] * 11, 0]),  # a reindex
    "api-no-task-ready": Stories(fires=[3, 0, _, _, _, _], quiet=[3, 0, 0, 3]),
    "api-errors-1h": Stories(
        fires={"failed": [80], "asked": [10_000]},
        quiet={"failed": [70], "asked": [10_000]},
    ),
    "api-errors-5m": Stories(
        fires={"failed": [0, 10], "asked": [900, 1_000]},
        quiet={"failed": [4, 4], "asked": [4, 4]},  # four failures are no rate
    ),
    "api-errors-6h": Stories(
        fires={"failed": [31], "asked": [10_000]},
        quiet={"failed": [29], "asked": [10_000]},
    ),
    "api-errors-30m": Stories(
        fires={"failed": [31], "asked": [10_000]},
        quiet={"failed": [29], "asked": [10_000]},
    ),
    "api-errors-1d": Stories(
        fires={"failed": [16], "asked": [10_000]},
        quiet={"failed": [14], "asked": [10_000]},
    ),
    "api-errors-2h": Stories(
        fires={"failed": [16], "asked": [10_000]},
        quiet={"failed": [14], "asked": [10_000]},
    ),
    "api-slow": Stories(fires=[200, 510, 600, 700], quiet=[900, 900, 480]),
    "api-slower": Stories(fires=[401, 410, 420, 430], quiet=[450, 450, 450, 390]),
    "api-unexpected": Stories(fires=[0, 1], quiet=[0, 0]),
    "api-breaker-open": Stories(fires=[0, 1, 1], quiet=[0, 1, 0, 0, 0]),
    "api-answers-stale": Stories(fires=[1, 4, 2], quiet=[0, 3, 0, 2, 0]),
    "login-broken": Stories(fires=[0, 3, 2], quiet=[0, 1, 0, 0, 0]),
    "mapping-disabled": Stories(fires=[0, 1, 1, 1], quiet=[0, 1, 1, 0]),  # a deployment that pauses it
    "source-away": Stories(fires=[0, 1, 1], quiet=[0, 1, 0]),
    "documents-late": Stories(fires=[4, 61], quiet=[4, 59]),
    "documents-old": Stories(fires=[700_000], quiet=[600_000]),
    "comparison-old": Stories(fires=[31], quiet=[29]),
    "differences-found": Stories(fires=[0, 3], quiet=[0, 0]),
    "gap-open": Stories(fires=[0, 1], quiet=[0, 0]),
    "index-unowned": Stories(fires=[1] * 12, quiet=[*[1] * 11, 0]),
    "cluster-away": Stories(fires=[0, 1, 1], quiet=[0, 1, 0]),
    "cluster-disk-low": Stories(fires=[1, 1, 2], quiet=[1, 1, 0]),  # while segments merge
    "cluster-disk-high": Stories(fires=[0, 1, 1], quiet=[0, 1, 0]),
    "cluster-disk-flood": Stories(fires=[0, 1], quiet=[0, 0]),
    "cluster-unassigned": Stories(fires=[2] * 12, quiet=[*[2] * 11, 0]),
    "cluster-pending": Stories(fires=[0, 31], quiet=[12, 29]),
    "cluster-slow": Stories(fires=[501, 700, 600], quiet=[900, 800, 40]),
    "shard-large": Stories(fires=[39.9e9, 40.1e9], quiet=[39e9, 39.9e9]),
    "shard-too-large": Stories(fires=[49.9e9, 50.1e9], quiet=[49e9, 49.9e9]),
    "tenant-large": Stories(fires=[9_990_000, 10_000_001], quiet=[9_000_000, 10_000_000]),
    "disk-forecast": Stories(fires=[31, 29], quiet=[400, 31]),
    "snapshot-failed": Stories(fires=[0, 1], quiet=[0, 0]),
    "snapshot-old": Stories(fires=[35, 37], quiet=[24, 35]),
    "drill-failed": Stories(fires=[1], quiet=[0]),
    "drill-old": Stories(fires=[34, 36], quiet=[31, 34]),
    "recovery-slow": Stories(fires=[3_601], quiet=[3_500]),
    "recovery-loss": Stories(fires=[901], quiet=[890]),
    "airflow-part-silent": Stories(fires=[3, 130, 430], quiet=[3, 130, 5]),  # a restart
    "checks-silent": Stories(fires=[1, *[_] * 5], quiet=[1, _, _, 1]),  # a deployment
    "airflow-import-errors": Stories(fires=[0, 1, 1], quiet=[0, 1, 0]),  # a file that was half copied
    "airflow-pool-starving": Stories(fires=[4] * 12, quiet=[*[40] * 11, 0]),
    "dag-late": Stories(fires=[0, 3_601], quiet=[0, 1_200]),
    "dag-failed": Stories(fires=[0, 1], quiet=[0, 0]),
    "silence-forgotten": Stories(fires=[6, 8], quiet=[5, 6]),
}
