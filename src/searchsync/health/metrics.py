"""What CloudWatch is told: only what it does not see by itself."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from searchsync import alarms
from searchsync.health.maintenance import Window
from searchsync.health.memory import Memory
from searchsync.health.run import Health
from searchsync.health.verdict import rows
from searchsync.telemetry import metrics


def of_look(health: Health) -> None:
    """Write the metrics of Airflow's parts and DAGs."""
    for one in health.verdicts:
        if one.value is not None and one.alarm == "airflow-part-silent":
            metrics.emit("AirflowHeartbeatAge", one.value, component=one.subject)
        if one.value is not None and one.alarm == "dag-late":
            metrics.emit("DagLate", one.value, dag=one.subject)
        if one.value is not None and one.alarm == "snapshot-old":
            metrics.emit("SnapshotAge", 3600 * one.value)
    for dag_id, count in health.failed.items():
        metrics.emit("DagFailed", count, dag=dag_id)
    alarms.report({"dag-failed": sum(health.failed.values())})  # Slack is told by the run itself


def of_memory(memory: Memory, windows: Mapping[str, Window], now: datetime) -> None:
    """Write for each row without a metric of its own of how many things somebody has to be told, and of none.

    What an open window keeps quiet does not count: CloudWatch would tell it.
    """
    quiet = [window for window in windows.values() if window.is_open(now)]
    counted = Counter(
        one.alarm
        for one in memory.conditions.values()
        if one.told and not one.unknown and not any(window.covers(one.entity) for window in quiet)
    )
    alarms.report({name: counted[name] for name, row in rows().items() if not row.has_metric})
