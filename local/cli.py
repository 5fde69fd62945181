"""The commands of `./dev`."""

import argparse
import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from local import airflow, cognito, postgres, runs, search_api, stream_function, workbench
from local.airflow_api import AirflowApi
from local.errors import LocalError
from local.files import read_json
from local.paths import Home
from local.report import result_rows, table
from local.stack import PARTS, SERVERS, Stack
from local.state import exclusively
from local.stream_function import ALIVE, CHECKPOINT, PAUSED
from searchsync.catalog import BAD_ENTITIES, CATALOG, Entity, entity
from searchsync.errors import SearchSyncError

FIRST_RUNS = tuple(f"{name}_reindex" for name in ("locations", "members") if name in CATALOG)
"""Of the entities whose data `up` brings."""

_INTERRUPTED = 130
_SCARCE_BYTES = 256 * 1024**2
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Every expected failure is one message on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # What follows these belongs to the program that they start, dashes included.
    cut = 1 if given[:1] in (["test"], ["bench"], ["psql"]) else len(given)
    options = _parser().parse_args(given[:cut])
    options.rest = given[cut:]
    try:
        code: int = options.command(options)
        return code
    except (LocalError, SearchSyncError) as error:
        _complain(f"{error}{_full_disk()}")
    except psycopg.Error as error:
        _complain(f"PostgreSQL: {str(error).splitlines()[0]}{_full_disk()}; see `./dev logs postgres`")
    except BrokenPipeError:
        pass
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        _complain(f"{error}{_full_disk()}")
    except KeyboardInterrupt:
        _complain("interrupted; `./dev down` stops what was started, `./dev up` goes on from here")
        sys.stdout.flush()
        os._exit(_INTERRUPTED)  # threads may still wait for servers that are on their way
    return 1


def _full_disk() -> str:
    """What to add to any complaint when the disk is the likely cause of it."""
    folder = Home.from_environment().folder
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    return (
        ""
        if free > _SCARCE_BYTES
        else f" - the disk of {folder} is full ({free / 1024**2:.0f} MiB left): make room and run it again"
    )


def _complain(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev", description="Everything that runs on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    up = command("up", _up, f"start the stack, run {' and '.join(FIRST_RUNS)}, unpause the scheduled DAGs")
    up.add_argument("--no-run", action="store_true", help="start only: run nothing, unpause nothing")
    down = command("down", _down, "stop everything that `up` started")
    down.add_argument(
        "--wipe", action="store_true", help="also delete all data, logs and secrets; installed packages stay"
    )
    command("status", _status, "what runs, and where")
    command("env", _env, "print `export` lines for a shell")
    trigger = command("trigger", _trigger, "run a DAG and wait for its end; the exit code is the outcome")
    trigger.add_argument("dag_id", metavar="DAG_ID")
    trigger.add_argument("--conf", type=_json_object, default={}, metavar="JSON", help="parameters of the run")
    logs = command("logs", _logs, "the end of a part's log")
    logs.add_argument("name", metavar="NAME", nargs="?", help=f"one of {', '.join(_log_names())}")
    logs.add_argument("-f", "--follow", action="store_true")
    streams = [served.name for served in stream_function.served()]
    stream = command("stream", _stream, "the delivery of the streams of DynamoDB entities to their functions")
    stream.add_argument("action", choices=("pause", "resume", "status"))
    stream.add_argument("entity", nargs="?", help=f"{', '.join(streams)}; all when none is named")
    package = command("package", _package, "write the deployment packages of a function of AWS")
    package.add_argument(
        "name", help=f"{', '.join(streams)}: on this table's stream; token-customisation: of the user pool"
    )
    demo = command("demo", _demo, "write, change and delete a few members, and see each become searchable")
    demo.add_argument("name", choices=("members",))
    token = command("token", _token, "print a token for the search API, good for an hour, from the emulated user pool")
    token.add_argument("--tenant", required=True, help="whose documents its bearer may find")
    token.add_argument("--role", choices=cognito.ROLES, default="tenant_user")
    asking = command("ask", _ask, "ask the search API's agent, whose model a stand-in plays, and show each step")
    asking.add_argument("question", metavar="QUESTION")
    asking.add_argument("--tenant", default="acme", help="whose documents it may find")
    command("psql", _psql, "PostgreSQL's shell in the database app, as its owner; with psql's arguments")
    infra = command("infra", _infra, "the infrastructure, applied to an emulator of its own by Terraform")
    infra.add_argument("action", choices=("up", "plan", "check", "down"))
    infra.add_argument(
        "--environment", default="dev", help="a column of infra/environments.yaml; production is not for the emulator"
    )
    command("bench", _bench, "run a benchmark NAME, and hand it all other arguments, on servers of its own")
    command(
        "test", _test, "run the tests on servers of their own, with pytest's arguments; --quick: those without servers"
    )
    return parser


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def _up(options: argparse.Namespace) -> int:
    home = Home.from_environment()
    with exclusively(home.folder / ".up.lock", "up"):
        stack = Stack(home, _say)
        stack.up()
        api = stack.api()
        if options.no_run:
            _say(table(_addresses(stack)))
            return 0
        outcomes = _first_runs(stack, api)
        if not all(outcome.succeeded for outcome in outcomes):
            return 1
        unpaused = runs.unpause_scheduled(api)
        for outcome in outcomes:
            alias = outcome.dag_id.removesuffix("_reindex")
            _say("\n" + table([*result_rows(outcome), ("alias", alias), ("page", outcome.link)]))
        _say("\n" + table([*_addresses(stack), *([("unpaused", ", ".join(unpaused))] if unpaused else [])]))
        return 0


def _first_runs(stack: Stack, api: AirflowApi) -> list[runs.Outcome]:
    """Run all of them at once, and show one after the other; what failed is explained."""
    started = []
    for dag_id in FIRST_RUNS:
        dag = runs.await_dag(api, dag_id, parsed_since=stack.airflow_started())
        if cut_off := runs.fail_unfinished(api, dag_id, before=stack.airflow_started()):
            _say(f"{cut_off} run(s) of {dag_id} that the last stop cut off are marked failed")
        started.append((dag_id, runs.start_once(api, dag)))
    outcomes = []
    for dag_id, run_id in started:
        _say(f"{dag_id}:")
        outcomes.append(runs.follow(api, dag_id, run_id, _say))
        if not outcomes[-1].succeeded:
            _complain("\n".join(runs.explain_failure(api, outcomes[-1])))
    return outcomes


def _addresses(stack: Stack) -> list[tuple[str, str]]:
    login = f"{airflow.ADMIN} / {airflow.password(stack.home)}"
    names = {
        "opensearch": "OpenSearch",
        "postgres": "PostgreSQL",
        "aws": "AWS emulator",
        "slack": "Slack sink",
        "redis": "Redis",
    }
    search = [("search", stack.address(search_api.PART)), ("Airflow", stack.address("api-server")), ("login", login)]
    return [*search, *((label, stack.address(part)) for part, label in names.items())]


def _down(options: argparse.Namespace) -> int:
    home = Home.from_environment()
    with exclusively(home.folder / ".up.lock", "down"):
        count = Stack(home, _say).down(wipe=options.wipe)
    _say(
        f"{count} of {len(PARTS)} parts were running; all are stopped"
        + (", all data is deleted" if options.wipe else "")
    )
    return 0


def _status(_: argparse.Namespace) -> int:
    stack = Stack(Home.from_environment(), _say)
    alive = stack.running()
    _say(
        table(
            (name, f"running  {stack.address(name):<28} process {alive[name].pid}" if name in alive else "stopped")
            for name in PARTS
        )
    )
    return 0 if len(alive) == len(PARTS) else 1


def _env(_: argparse.Namespace) -> int:
    for name, value in Stack(Home.from_environment(), _say).variables().items():
        _say(f"export {name}={shlex.quote(value)}")
    return 0


def _trigger(options: argparse.Namespace) -> int:
    stack = Stack(Home.from_environment(), _say)
    stack.require("postgres", "opensearch", *airflow.PROGRAMS)  # without one of them a run would wait for ever
    api = stack.api()
    dag = _read_dag(stack, api, options.dag_id)
    run_id = api.trigger(options.dag_id, options.conf)
    if dag["is_paused"]:
        api.unpause(options.dag_id)
        _say(f"{options.dag_id} was paused; it is not any more")
    outcome = runs.follow(api, options.dag_id, run_id, _say)
    if not outcome.succeeded:
        _complain("\n".join(runs.explain_failure(api, outcome)))
        return 1
    _say("\n" + table([*result_rows(outcome), ("page", outcome.link)]))
    return 0


def _read_dag(stack: Stack, api: AirflowApi, dag_id: str) -> dict[str, Any]:
    """The DAG as Airflow has read it. That of a new entity is waited for: Airflow reads its files every 30 seconds.

    :raises LocalError: when there is none.
    :raises BadEntity: when the file of its entity is wrong.
    """
    for name, error in BAD_ENTITIES.items():
        if dag_id.startswith(f"{name}_"):
            raise error  # Airflow notices within a minute, and would let the run wait
    since = stack.airflow_started()
    try:
        return runs.await_dag(api, dag_id, parsed_since=since, patience=5.0)
    except LocalError:
        if api.import_errors() or not any(dag_id.startswith(f"{name}_") for name in CATALOG):
            raise
    _say(f"waiting until Airflow has read {dag_id}")
    return runs.await_dag(api, dag_id, parsed_since=since)


def _token(options: argparse.Namespace) -> int:
    stack = Stack(Home.from_environment(), _say)
    stack.require("aws")
    _say(cognito.token(cognito.ensure(stack.address("aws")), tenant=options.tenant, role=options.role))
    return 0


def _ask(options: argparse.Namespace) -> int:
    from local import ask  # tokens need AWS' client, which few other commands do

    return ask.run(Stack(Home.from_environment(), _say), options.question, options.tenant, _say)


def _psql(options: argparse.Namespace) -> int:
    stack = Stack(Home.from_environment(), _say)
    stack.require("postgres")
    return stack.server("postgres").psql(postgres.OWNER, "app", options.rest)


def _stream(options: argparse.Namespace) -> int:
    stack = Stack(Home.from_environment(), _say)
    running = stack.running()
    for served in [_with_function(options.entity)] if options.entity else stream_function.served():
        name, folder = stream_function.name_of(served), stack.home.stream(served.name)
        if options.action == "pause":
            folder.mkdir(parents=True, exist_ok=True)
            (folder / PAUSED).touch()
        elif options.action == "resume":
            (folder / PAUSED).unlink(missing_ok=True)
        runner = "running" if name in running else "stopped; `./dev up` starts it"
        after = read_json(folder / CHECKPOINT).get("after") or {}
        settled = [(shard, f"settled up to {number}") for shard, number in after.items()]
        rows = [("function", name), ("runner", runner), ("delivers", _delivers(folder, served, name in running))]
        _say(table([*rows, *settled]))
    return 0


def _with_function(name: str) -> Entity:
    """The DynamoDB entity of this name.

    :raises LocalError: for one of another source
    """
    found = entity(name)
    if found.source != "dynamodb":
        raise LocalError(f"{name} comes from {found.source} and has no function")
    return found


def _delivers(folder: Path, served: Entity, running: bool) -> str:
    if (folder / PAUSED).exists():
        return f"no: paused; `./dev stream resume {served.name}` goes on"
    if not running:
        return "no: the runner is stopped"
    try:
        why = (folder / ALIVE).read_text(encoding="utf-8")
    except FileNotFoundError:
        why = "it is starting"
    return f"no: {why}" if why else "yes"


def _package(options: argparse.Namespace) -> int:
    from local import lambda_package

    if options.name == lambda_package.TOKEN_CUSTOMISATION:
        packages = [lambda_package.build_token_customisation()]
    else:
        packages = lambda_package.build(_with_function(options.name))
    for package in packages:
        size = f"{package.path.stat().st_size:,} bytes, {package.unzipped:,} unzipped"
        _say(table([("package", str(package.path)), ("size", size), ("SHA-256", package.sha256)]))
    return 0


def _demo(_: argparse.Namespace) -> int:
    from local import demo  # clients of AWS and OpenSearch, which no other command needs

    demo.run(Stack(Home.from_environment(), _say), _say)
    return 0


def _infra(options: argparse.Namespace) -> int:
    from local import infra_commands  # AWS' and PostgreSQL's clients, which few other commands need

    home = Home.from_environment()
    with exclusively(home.part("infra") / ".lock", f"infra {options.action}"):
        try:
            return infra_commands.ACTIONS[options.action](home, options.environment, _say)
        except KeyboardInterrupt:
            raise LocalError(
                "interrupted; Terraform stopped in order. `./dev infra up` goes on from here, `./dev infra down` "
                "destroys what was made"
            ) from None


def _bench(options: argparse.Namespace) -> int:
    return workbench.bench(options.rest[0] if options.rest else None, options.rest[1:])


def _test(options: argparse.Namespace) -> int:
    return workbench.test(options.rest)


def _log_names() -> list[str]:
    return [*PARTS, "airflow-migrate", "install"]


def _logs(options: argparse.Namespace) -> int:
    home = Home.from_environment()
    if options.name not in _log_names():
        raise LocalError(
            f"there is no log {options.name!r}; there are: {', '.join(_log_names())}"
            if options.name
            else f"one of: {', '.join(_log_names())}"
        )
    path = home.part(options.name) / f"{options.name}.log" if options.name in SERVERS else home.log(options.name)
    if not path.exists():
        raise LocalError(f"{options.name} has not logged anything yet")
    print(f"==> {path}", file=sys.stderr)
    return subprocess.call(["tail", "-n", "100", *(["-F"] if options.follow else []), str(path)])
