"""The whole stack: started in parallel, repaired where it is half dead, stopped completely.

Order exists only where it must: PostgreSQL before Airflow's metadata and the sample data, the metadata before
Airflow's programs, and nothing waits for OpenSearch or the emulators but the run itself. Ports are chosen before
anything starts, so that Airflow can be told about servers that are still on their way.
"""

import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from local import (
    airflow,
    jars,
    opensearch,
    own_connections,
    ports,
    postgres,
    processes,
    redis,
    sample_data,
    search_api,
    servers,
    stream_function,
    tables,
)
from local.airflow_api import AirflowApi
from local.cognito import UserPool
from local.errors import LocalError
from local.files import tail
from local.paths import ROOT, Home
from local.state import Part, State
from searchsync.access import repository
from searchsync.catalog import BAD_ENTITIES, CATALOG, Entity, include_dir
from searchsync.cluster.client import connect
from searchsync.config import snapshots

STREAMS = {stream_function.name_of(served): served for served in stream_function.served()}
"""The parts that deliver a stream, one for each DynamoDB entity; they have the names of their functions."""

SMALL = ("aws", "slack", search_api.STAND_IN)
SERVERS = ("postgres", "opensearch", "redis")
"""Those that keep a record in their own folder."""

OTHERS = (*SERVERS, *SMALL, search_api.PART, *airflow.PROGRAMS)
PARTS = (*SERVERS, *STREAMS, *SMALL, search_api.PART, *airflow.PROGRAMS)
_PORTS: Mapping[str, range] = {
    "postgres": ports.RANGE,
    "opensearch": opensearch.PORTS,
    "aws": ports.RANGE,
    "slack": ports.RANGE,
    "redis": ports.RANGE,
    search_api.PART: ports.RANGE,
    search_api.STAND_IN: ports.RANGE,
    "airflow": ports.RANGE,
}
_NEEDED_BYTES = 2 * 1024**3
_HEALTHY_SECONDS = 120.0
Say = Callable[[str], None]


@dataclass
class Stack:
    """One stack in its home. Not for two threads."""

    home: Home
    say: Say
    state: State = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        self.state = State.load(self.home.state)

    def running(self) -> dict[str, processes.Process]:
        """The parts whose process lives."""
        found = {name: part.process for name in PARTS if (part := self.state.running(name)) is not None}
        for name in SERVERS:
            record = servers.running(self.home.part(name))
            if record is not None:
                found[name] = record.process
        return found

    def address(self, part: str) -> str:
        """Where a part listens; empty for one that does not."""
        name = "airflow" if part == "api-server" else part
        port = self.state.ports.get(name)
        if port is None:
            return ""
        return f"{ports.LOOPBACK}:{port}" if name in ("postgres", "redis") else airflow.url(port)

    def api(self) -> AirflowApi:
        """A client of this stack's Airflow."""
        return AirflowApi(airflow.url(self.state.ports["airflow"]), airflow.ADMIN, airflow.password(self.home))

    def airflow_started(self) -> datetime:
        """When the running Airflow was started: what it says about earlier times is hearsay."""
        started = [self.state.parts[name].process.started for name in airflow.PROGRAMS]
        return datetime.fromtimestamp(max(started), UTC)

    def require(self, *names: str) -> None:
        """Refuse to go on without some parts.

        :raises LocalError: naming what has stopped: all of it, or which parts and where to look
        """
        alive = self.running()
        dead = [name for name in PARTS if name in names and name not in alive]
        if dead and not alive:
            raise LocalError("the stack is not running: `./dev up` starts it")
        if dead:
            logs = " and ".join(f"`./dev logs {name}`" for name in dead)
            raise LocalError(f"not running: {', '.join(dead)}; see {logs}. `./dev up` starts what is missing")

    def variables(self) -> dict[str, str]:
        """What a shell or a script needs to work with the running stack."""
        self.require("postgres", "opensearch", "api-server")
        port = self.state.ports
        own = {
            "SEARCHSYNC_OPENSEARCH_URL": airflow.url(port["opensearch"]),
            "SEARCHSYNC_POSTGRES_DSN": self.server("postgres").dsn(postgres.READER, "app"),
            **airflow.aws_environment(airflow.url(port["aws"])),
            **tables.variables(airflow.url(port["aws"])),
            "SEARCHSYNC_AIRFLOW_URL": airflow.url(port["airflow"]),
            "SEARCHSYNC_AIRFLOW_USER": airflow.ADMIN,
            "SEARCHSYNC_AIRFLOW_PASSWORD": airflow.password(self.home),
            "SEARCHSYNC_SLACK_SINK_URL": airflow.url(port["slack"]),
            "SEARCHSYNC_SEARCH_API_URL": airflow.url(port[search_api.PART]),
        }
        return {name: value for name, value in own_connections.beside(own).items() if not name.startswith("AIRFLOW_")}

    def up(self) -> None:
        """Start what does not run. All DAGs of an Airflow that had to be started are paused."""
        self._check_disk()
        for name in SERVERS:
            if (record := servers.running(self.home.part(name))) is not None:
                self._remember(name, record.process)
        for name in self.state.claim_ports(_PORTS, {"airflow": "api-server"}):
            self.say(f"the last port of {name} is taken by another program; it moves to {self.state.ports[name]}")
        self.state.save()
        for error in BAD_ENTITIES.values():
            self._note(f"left out: {error}")
        threads = ThreadPoolExecutor(8)
        aws = threads.submit(self._start_aws)
        main = threads.submit(self._start_databases_and_airflow, threads, aws)
        others = [
            threads.submit(self._start_opensearch),
            threads.submit(self._start_redis),
            threads.submit(self._start_streams, aws),
            threads.submit(self._start_search_api, aws),
            threads.submit(self._start_small, search_api.STAND_IN, ["local.bedrock_stand_in"]),
            threads.submit(self._start_small, "slack", ["local.slack_sink", "--file", str(self.home.slack_messages)]),
        ]
        try:
            for other in others:
                other.result()
            main.result()
        finally:
            # A person does not wait for what they have just stopped.
            interrupted = isinstance(sys.exception(), KeyboardInterrupt)
            threads.shutdown(wait=not interrupted, cancel_futures=True)

    def _start_opensearch(self) -> None:
        folder = self.home.part("opensearch")
        if servers.running(folder) is None:
            jars.classpath()
            self._note("OpenSearch's archives are here")
        server = opensearch.start(folder, port=None if servers.running(folder) else self.state.ports["opensearch"])
        self._remember("opensearch", server.process)
        name = snapshots().repository
        repository.register(connect(server.url), "fs", {"location": name})  # in the folder that it may use
        self._note(f"OpenSearch answers at {server.url}")

    def _start_redis(self) -> None:
        folder = self.home.part("redis")
        try:
            server = redis.start(folder, port=None if servers.running(folder) else self.state.ports["redis"])
        except redis.NoRedis as missing:
            self._note(f"the search API has no cache: {missing}")
        else:
            self._remember("redis", server.process)

    def _start_databases_and_airflow(self, threads: ThreadPoolExecutor, aws: Future[UserPool]) -> None:
        folder = self.home.part("postgres")
        server = postgres.start(folder, port=None if servers.running(folder) else self.state.ports["postgres"])
        self._remember("postgres", server.process)
        app = postgres.create_app(server)
        metadata = postgres.create_database(server, "airflow", owner="airflow")
        self._note(f"PostgreSQL answers at {ports.LOOPBACK}:{server.port}")
        loading: Future[int] = threads.submit(sample_data.load, app.owner_dsn)
        self._start_airflow(server, metadata, aws.result())
        if rows := loading.result():
            self._note(f"{rows:,} places are in the table locations")

    def _start_airflow(self, server: postgres.Server, metadata_dsn: str, pool: UserPool) -> None:
        env = self._airflow_environment(server, metadata_dsn, pool)
        stamp = airflow.fingerprint(env, "plugins")
        running = [name for name in airflow.PROGRAMS if self.state.running(name)]
        changed = any(self.state.parts[name].fingerprint != stamp for name in running)
        if changed or "scheduler" not in running:  # tasks are its processes; those of a dead one end with all the rest
            self._stop_airflow()
            airflow.prepare(self.home, env, metadata_dsn)
            self._note("Airflow's metadata database is ready")
            running = []
        folder = self.home.part("airflow")
        for name in [name for name in airflow.PROGRAMS if name not in running]:
            log = self.home.log(name)
            process = processes.spawn(airflow.command(name), folder=folder, log=log, env=env, cwd=folder)
            self._remember(name, process, stamp)
        api = self.api()
        self._await(tuple(airflow.PROGRAMS), lambda: airflow.is_healthy(api), patience=_HEALTHY_SECONDS)
        api.ensure_pool(airflow.POOL, airflow.POOL_SLOTS)
        self._note(f"Airflow answers at {api.url}")

    def _airflow_environment(self, server: postgres.Server, metadata_dsn: str, pool: UserPool) -> dict[str, str]:
        port = self.state.ports
        own = {
            **airflow.settings(self.home, port=port["airflow"], metadata_dsn=metadata_dsn),
            **airflow.connections(
                opensearch_port=port["opensearch"],
                postgres_port=server.port,
                postgres_password=postgres.password(server.folder, postgres.READER),
                slack_port=port["slack"],
                aws_port=port["aws"],
            ),
            **airflow.own_connection(self.home),
            **search_api.connection(port[search_api.PART], pool),
            **airflow.aws_environment(airflow.url(port["aws"])),
            **tables.variables(airflow.url(port["aws"])),
            "SEARCHSYNC_REPORTS": str(self.home.reports),
            "SEARCHSYNC_OPENSEARCH_URL": airflow.url(port["opensearch"]),
            "SEARCHSYNC_POSTGRES_DSN": server.dsn(postgres.READER, "app"),
            "SEARCHSYNC_AIRFLOW_URL": airflow.url(port["airflow"]),
            "SEARCHSYNC_SLACK_SINK_URL": airflow.url(port["slack"]),
        }
        return airflow.environment(own_connections.beside(own))

    def _start_aws(self) -> UserPool:
        self._start_small("aws", ["local.aws"])
        return search_api.user_pool(airflow.url(self.state.ports["aws"]))

    def _start_search_api(self, aws: Future[UserPool]) -> None:
        name, port = search_api.PART, self.state.ports[search_api.PART]
        env = search_api.environment(self.home, self.state.ports, aws.result())
        self._start_program(name, search_api.command(), env, search_api.fingerprint(env))
        self._await((name,), lambda: search_api.answers(port), patience=60.0)
        self._note(f"the search API answers at {airflow.url(port)}")

    def _start_streams(self, aws: Future[UserPool]) -> None:
        endpoint = aws.result().endpoint
        if "members" in CATALOG:
            from local import members

            if rows := members.load(endpoint):
                self._note(f"{rows:,} members are in the table {members.ENTITY.table}")
        for name in self._streams() - STREAMS.keys():
            self._stop_program(name)
            self._note(f"{name} is stopped: its entity has no file any more, or a wrong one")
        if tables.exported(STREAMS.values()):
            tables.make_bucket(endpoint)
        for name, served in STREAMS.items():
            self._start_stream(name, served, endpoint)

    def _start_stream(self, name: str, served: Entity, endpoint: str) -> None:
        folder = self.home.stream(served.name)
        opensearch_url = {"SEARCHSYNC_OPENSEARCH_URL": airflow.url(self.state.ports["opensearch"])}
        env = airflow.environment({**airflow.aws_environment(endpoint), **opensearch_url})
        # The function's code, the entity's file, its mapping and transformation are read once.
        files = [*include_dir().glob(f"*/{served.name}.*"), *include_dir().glob("transforms/*.py")]
        stamp = airflow.fingerprint(env, "lambdas", "src", files=files)
        command = [sys.executable, "-m", "local.delivery", "--entity", served.name, "--folder", str(folder)]
        self._start_program(name, command, env, stamp, folder)
        try:
            tables.make_queues(served, endpoint)
            tables.stream_arn(served, endpoint)
        except tables.NoStream as missing:
            self._note(f"{name} waits: {missing}")

    def _streams(self) -> set[str]:
        """The parts that deliver a stream and were started, also those of entities that are no more."""
        return self.state.parts.keys() - set(OTHERS)

    def _start_program(
        self,
        name: str,
        command: list[str],
        env: Mapping[str, str] | None = None,
        stamp: str = "",
        folder: Path | None = None,
    ) -> None:
        """Start a program, also one that runs with other settings or code than those of now."""
        folder = folder or self.home.part(name)
        part = self.state.running(name)
        if part is not None and part.fingerprint != stamp:
            self._stop_program(name)
        if self.state.running(name) is None:
            processes.stop_leftovers(folder)
            process = processes.spawn(command, folder=folder, log=self.home.log(name), env=env, cwd=ROOT)
            self._remember(name, process, stamp)

    def _stop_program(self, name: str) -> None:
        if (part := self.state.running(name)) is not None:
            processes.stop(part.process, patience=5.0)
        with self._lock:
            self.state.parts.pop(name, None)

    def _start_small(self, name: str, module: list[str]) -> None:
        port = self.state.ports[name]
        if self.state.running(name) is None:
            ports.require_free(port, purpose=name)
        self._start_program(name, [sys.executable, "-m", *module, "--port", str(port)])
        self._await((name,), lambda: ports.answers(port), patience=60.0)

    def _await(self, names: tuple[str, ...], ready: Callable[[], bool], *, patience: float) -> None:
        deadline = time.monotonic() + patience
        while not ready():
            for name in names:
                if self.state.running(name) is None:
                    log = self.home.log(name)
                    raise LocalError(f"{name} ended while starting; the end of {log}:\n{tail(log)}")
            if time.monotonic() > deadline:
                remedy = f"see `./dev logs {names[0]}`, then `./dev down` and `./dev up`"
                raise LocalError(f"{', '.join(names)}: not healthy after {patience:.0f} s; {remedy}")
            time.sleep(0.2)

    def _check_disk(self) -> None:
        self.home.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.home.folder).free
        if free < _NEEDED_BYTES:
            gib = 1024**3
            needed = f"the data needs {_NEEDED_BYTES / gib:.0f}: make room"
            raise LocalError(f"only {free / gib:.1f} GiB are free for {self.home.folder}, {needed}")

    def down(self, *, wipe: bool = False) -> int:
        """Stop everything, recorded or not.

        Returns how many parts ran. Works on any wreck that a killed `up` leaves.
        """
        count = len(self.running())
        self._stop_airflow()
        for name in (search_api.PART, *self._streams(), *SMALL):
            self._stop_program(name)
        for name in (search_api.PART, "stream", *SMALL):
            self._sweep(name)
        for name, first in (("redis", signal.SIGTERM), ("opensearch", signal.SIGTERM), ("postgres", signal.SIGINT)):
            record = servers.running(self.home.part(name))
            if record is not None:
                processes.stop(record.process, first=first, patience=30.0)
            self._sweep(name)
        self.state.parts.clear()
        if self.home.state.exists():
            self.state.save()
        if wipe:
            self._wipe()
        return count

    def _wipe(self) -> None:
        for name in (*SERVERS, "stream", *SMALL, search_api.PART, "airflow", "reports", "logs"):
            shutil.rmtree(self.home.part(name), ignore_errors=True)
        bench = self.home.part("bench")
        if not any(processes.is_alive(record.process) for record in servers.below(bench)):
            shutil.rmtree(bench, ignore_errors=True)
        for path in (self.home.state, self.home.secrets):
            path.unlink(missing_ok=True)

    def _stop_airflow(self) -> None:
        alive = [part for name in airflow.PROGRAMS if (part := self.state.running(name)) is not None]
        with ThreadPoolExecutor(len(airflow.PROGRAMS)) as threads:
            list(threads.map(lambda part: processes.stop(part.process, patience=12.0), alive))
        self._sweep("airflow")
        for name in airflow.PROGRAMS:
            self.state.parts.pop(name, None)

    def _sweep(self, name: str) -> None:
        processes.stop_leftovers(self.home.part(name))

    def server(self, name: str) -> postgres.Server:
        """The PostgreSQL of that name, as it runs."""
        folder = self.home.part(name)
        record = servers.running(folder)
        if record is None:
            raise LocalError(f"{name} is not running: `./dev up` starts it")
        return postgres.Server(folder, record.port, record.process)

    def _remember(self, name: str, process: processes.Process, fingerprint: str = "") -> None:
        with self._lock:
            self.state.parts[name] = Part(process, fingerprint)
            if name in SERVERS and (record := servers.read(self.home.part(name))) is not None:
                self.state.ports[name] = record.port
            self.state.save()

    def _note(self, text: str) -> None:
        self.say(f"{time.monotonic() - self._began:6.1f} s  {text}")
