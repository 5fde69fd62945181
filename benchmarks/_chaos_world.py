"""The stack of ``./dev bench chaos``: its servers stand behind links, and whatever is dead is started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil

from benchmarks._chaos_load import Load, Sources
from benchmarks._kills import until
from benchmarks._kills_world import LOCATIONS, MEMBERS, World, retry_at_once
from local import airflow, cognito, members, opensearch, ports, postgres, processes, redis, search_api, servers, tables
from local.paths import ROOT, Home
from local.stack import STREAMS, Stack
from local.state import Part
from tests.faults import Link

REINDEX, REPLAY = "locations_reindex", "members_dlq_replay"
ITEMS = 1_000
"""That there are at first; the load adds some. The stack would make ten times as many, which takes it a minute."""

_START: Mapping[str, Callable[..., Any]] = {
    "opensearch": opensearch.start,
    "postgres": postgres.start,
    "redis": redis.start,
}
(DELIVERY,) = (name for name, served in STREAMS.items() if served.name == MEMBERS.name)
"""The part that delivers the items' changes; the function is a process of its own below it."""


class Chaos:
    """One stack, the load on it, and what stands between its parts.

    A record in a server's folder says where it listens. Here it says where the link to it listens, so that every part
    goes through the links without knowing it.
    """

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self.stack = Stack(home, say)
        self.links: dict[str, Link] = {}
        self.world: World
        self.load: Load

    def start(self, seed: str) -> None:
        """Start everything anew: an earlier run that was killed may have left half of it."""
        self.stack.down(wipe=True)
        retry_at_once(self.stack.home)
        for name in _START:
            self.start_server(name)
        self._start_aws()
        self.stack.up()
        self.world = World(self.stack)
        pool = search_api.user_pool(airflow.url(self.links["aws"].upstream))
        tokens = {who: cognito.token(pool, tenant=who, role="tenant_user") for who in members.TENANTS}
        direct = replace(self.stack.server("postgres"), port=self.links["postgres"].upstream)
        dynamodb = tables.client("dynamodb", airflow.url(self.links["aws"].upstream))
        sources = Sources(direct.dsn(postgres.OWNER, "app"), dynamodb)
        self.load = Load(sources, self.stack.address(search_api.PART), tokens, seed)

    def start_server(self, name: str) -> None:
        """Start a server that has ended, or for the first time; whoever needs it goes on through its link."""
        folder, link = self.stack.home.part(name), self.links.get(name)
        server = _START[name](folder, port=link.upstream if link else None)
        link = self.links.setdefault(name, link or Link(server.port))
        servers.write(server.folder, server.process, link.port)

    def _start_aws(self) -> None:
        name, home, port = "aws", self.stack.home, ports.choose()
        command = [sys.executable, "-m", "local.aws", "--port", str(port)]
        process = processes.spawn(command, folder=home.part(name), log=home.log(name), cwd=ROOT)
        self.links[name] = Link(port)
        self.stack.state.parts[name] = Part(process)
        self.stack.state.ports[name] = self.links[name].port
        until("the emulator answers", lambda: ports.answers(port))
        endpoint = airflow.url(self.links[name].port)
        members.create(endpoint)
        members.generate(tables.client("dynamodb", endpoint), ITEMS)

    def process(self, name: str) -> processes.Process:
        """Return the process of a part."""
        return self.stack.running()[name]

    def function(self) -> processes.Process:
        """Return the process of the stream's function."""
        delivery = psutil.Process(self.process(DELIVERY).pid)
        found = [child for child in delivery.children() if "local.function" in child.cmdline()]
        return processes.Process(found[0].pid, found[0].create_time())

    def start_dead(self) -> None:
        """Start whatever has ended, as a supervisor and a person do; the DAGs that are needed run again."""
        alive = self.stack.running()
        for name in _START:
            if name not in alive:
                self.start_server(name)
        self.stack.up()
        for dag in (REINDEX, REPLAY):
            self.world.api.unpause(dag)

    @contextmanager
    def hung(self, name: str) -> Iterator[None]:
        """Stop a process without ending it, while the block runs."""
        pid = self.process(name).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def searchsync(self, *arguments: str) -> str:
        """Run a command. Return what it said when it failed, else nothing."""
        command = [sys.executable, "-m", "searchsync.cli.main", *arguments]
        env = airflow.environment(self.stack.variables())
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        return f"searchsync {' '.join(arguments)}: {done.stderr[-300:]}" if done.returncode else ""

    def settle(self) -> None:
        """Let everything that is on its way arrive; nobody writes any more.

        :raises TimeoutError: when something does not arrive
        """
        marker = self.load.mark()
        until("the last item is found", lambda: self.load.sees(marker), seconds=180, pause=0.3)
        for _ in range(3):
            if not any(self.world.waiting().values()):
                break
            until("no message is on loan", lambda: not self.world.on_loan(), seconds=330, pause=1.0)
            self.searchsync("replay", MEMBERS.name)
        self.world.sync()

    def problems(self) -> list[str]:
        """Return what is not as it has to be: documents, aliases, leftovers, queues, answers."""
        different = [one for dag in (REINDEX, REPLAY) for one in self.world.different(dag)]
        wrong = [f"{what}: {example}" for what, example in self.load.violations.items()]
        return [*different, *self.world.left_over(REINDEX), *wrong]

    def write_set(self) -> list[str]:
        """Return all indexes that take writes."""
        return [name for of in (LOCATIONS, MEMBERS) for name in self.world.indexes(of).write_set()]

    def close(self) -> None:
        """End everything, and leave no data."""
        self.stack.down(wipe=True)
        for link in self.links.values():
            link.close()
