"""Free TCP ports on the loopback interface."""

import random
import socket

from local.errors import LocalError

LOOPBACK = "127.0.0.1"
RANGE = range(
    20_000, 30_000
)  # below the ports that operating systems hand to outgoing connections, so a kept port stays free


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now. Connections of an earlier server that still linger do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int, *, timeout: float = 1.0) -> bool:
    """Whether something accepts connections on `port`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout):
            return True
    except OSError:
        return False


def choose(preferred: int | None = None, *, within: range = RANGE) -> int:
    """`preferred` if it is still free, else another one.

    Random, so that two checkouts starting together rarely meet.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    for port in random.sample(within, 200):
        if is_free(port):
            return port
    raise LocalError(
        f"no free port between {within.start} and {within.stop} on {LOOPBACK}: stop some servers and try again"
    )


def require_free(port: int, *, purpose: str) -> None:
    """Refuse a port that someone else holds, before a server fails on it with a message of its own."""
    if not is_free(port):
        raise LocalError(f"port {port} on {LOOPBACK}, wanted for {purpose}, is taken by another program: stop that one")
