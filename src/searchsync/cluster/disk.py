"""Disks of the data nodes, and the watermarks that OpenSearch holds them to."""

from dataclasses import dataclass

from searchsync.cluster.client import Client
from searchsync.errors import BadParams

_PREFIX = "cluster.routing.allocation.disk."
_DEFAULTS = {"low": "85%", "high": "90%", "flood_stage": "95%"}
_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}


@dataclass(frozen=True)
class Disk:
    """Disk of one data node, in bytes."""

    node: str
    total: int
    available: int

    @property
    def used(self) -> int:
        """Bytes that nobody can have any more, whoever has them."""
        return self.total - self.available

    def below(self, watermark: str) -> int:
        """Return how many bytes can be added below a watermark; negative above it."""
        return most_used(watermark, self.total) - self.used


def disks(client: Client) -> list[Disk]:
    """Return the disks of all data nodes, by name of the node."""
    fields = ("name", "roles", "fs.total.total_in_bytes", "fs.total.available_in_bytes")
    params = {"filter_path": ",".join(f"nodes.*.{field}" for field in fields)}
    nodes = client.request("GET", "/_nodes/stats/fs", params=params)["nodes"].values()
    found = [
        Disk(node["name"], node["fs"]["total"]["total_in_bytes"], node["fs"]["total"]["available_in_bytes"])
        for node in nodes
        if "data" in node["roles"] and "fs" in node
    ]
    return sorted(found, key=lambda disk: disk.node)


def watermarks(client: Client) -> dict[str, str]:
    """Return the watermarks ``low``, ``high`` and ``flood_stage`` as the cluster has them, such as ``85%``."""
    said = _settings(client)
    return {name: said.get(f"{_PREFIX}watermark.{name}", default) for name, default in _DEFAULTS.items()}


def heeds_watermarks(client: Client) -> bool:
    """Return whether the cluster looks at its disks at all when it places shards; it does unless it is told not to."""
    return _settings(client).get(f"{_PREFIX}threshold_enabled") != "false"


def _settings(client: Client) -> dict[str, str]:
    """Return the settings about disks, flat: the file of the nodes counts less than what the cluster was told."""
    # A dot in the filter would be a level, and a flat name has none.
    params = {"include_defaults": "true", "flat_settings": "true", "filter_path": "*.*disk*"}
    answer = client.request("GET", "/_cluster/settings", params=params) or {}
    levels = [answer.get(level, {}) for level in ("defaults", "persistent", "transient")]
    return {name: str(value) for level in levels for name, value in level.items()}


def most_used(watermark: str, total: int) -> int:
    """Return how many bytes of a disk may be used below a watermark.

    :param watermark: a share that may be used, such as ``85%`` or ``0.85``; or what must be free, such as ``500gb``
    :raises BadParams: when it is neither
    """
    text = watermark.strip().lower()
    try:
        if text.endswith("%"):
            return int(total * float(text[:-1]) / 100)
        unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if text.endswith(unit)), "")
        if unit:
            return max(0, total - int(float(text.removesuffix(unit)) * _UNITS[unit]))
        return int(total * float(text))
    except ValueError:
        raise BadParams(
            f"{watermark!r} is no watermark of a disk: it is 85%, 0.85 or 500gb. Nothing was changed"
        ) from None
