"""What stands between a server and everybody who needs it in ``./dev bench chaos``: it can be slow, hang, or be cut."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from local import ports

_CHUNK = 65_536


class Link:
    """A TCP proxy before a server, which may come and go.

    :ivar upstream: port of the server
    :ivar port: at which everybody else finds it
    :ivar carried: bytes that went through, both ways
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.carried = 0
        self._delay, self._is_cut = 0.0, False
        self._flows = threading.Event()
        self._flows.set()
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((ports.LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._listener.close()
        self._end_all()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """End all connections and refuse new ones while the block runs."""
        self._is_cut = True
        self._end_all()
        try:
            yield
        finally:
            self._is_cut = False

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Hold back each piece of up to 64 KiB, in both directions, while the block runs."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and bytes, and pass nothing on until the block ends: nobody is told that it is away."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            if self._is_cut:
                raise ConnectionRefusedError
            server = socket.create_connection((ports.LOOPBACK, self.upstream), timeout=10.0)
            server.settimeout(None)
        except OSError:  # the server is away: so is the link
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._ends |= {client, server}
        back = threading.Thread(target=self._carry, args=(server, client), daemon=True)
        back.start()
        self._carry(client, server)
        back.join()
        with self._lock:
            self._ends -= {client, server}
        client.close()
        server.close()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if self._delay:
                    time.sleep(self._delay)
                self._flows.wait()
                target.sendall(data)
                self.carried += len(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _end_all(self) -> None:
        with self._lock:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
