"""Airflow as a set of processes: its settings, its metadata database, its four programs.

`airflow standalone` starts the same four programs one level deeper, with four API workers and a parent that does not
stop them. Started directly, in parallel and with one API worker, they are healthy in a quarter of the time, and each
is watched and stopped by itself.
"""

import base64
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import psycopg

from local import ports
from local.airflow_api import AirflowApi
from local.errors import LocalError
from local.files import read_json, secret, tail, write_json
from local.paths import ROOT, Home
from searchsync.sources.export_requests import EXPORT_BUCKET
from searchsync.stream.queue import DEAD_LETTER_QUEUE, PARKED_QUEUE

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
ADMIN, VIEWER = "admin", "viewer"
"""Logins of Airflow: of the person, and of the task that looks at Airflow's own health."""

POOL, POOL_SLOTS = "searchsync_load", 2
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
"""For glibc, for any process that loads: buffers of a page's size go back to the system when they are free. Without it
the threshold grows with the first of them, they come from the heap, and the heap grows with the table."""
PATIENCE = {"AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "20", "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "15"}
"""For tasks, while the API server is away: they ask it for two minutes, at least every 15 s, instead of for some 20 s.
Heartbeats are such requests, too, and what Airflow does when they fail is to end the task. The scheduler, which gives a
task up after its own heartbeat time-out, has to wait as long."""
_AIRFLOW = (sys.executable, "-m", "airflow")
REGION = "eu-west-1"
# Settings that are not for this Airflow: of another one on this machine, of the person's own AWS account, which nothing
# here may reach, and of the shell in which `./dev` was called.
_FOREIGN = ("AIRFLOW_", "AWS_", "SEARCH_API_", "PYTHONDONTWRITEBYTECODE")
_OF_THE_SHELL = tuple(
    f"SEARCHSYNC_{name}_"
    for name in ("AIRFLOW", "BENCH", "LOCAL", "OPENSEARCH", "POSTGRES", "SEARCH_API", "SLACK", "TEST")
)
_OF_ENTITIES = (DEAD_LETTER_QUEUE, PARKED_QUEUE, EXPORT_BUCKET)


def url(port: int) -> str:
    return f"http://{ports.LOOPBACK}:{port}"


def aws_environment(endpoint: str) -> dict[str, str]:
    """What any AWS client needs to talk to the emulator, and nothing that would let it talk to AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def connections(
    *, opensearch_port: int, postgres_port: int, postgres_password: str, slack_port: int, aws_port: int
) -> dict[str, str]:
    """The connections that the DAGs use, as Airflow reads them from the environment."""
    host = ports.LOOPBACK
    keys = {"conn_type": "aws", "login": "testing", "password": "testing"}
    postgres = {
        "conn_type": "postgres",
        "host": host,
        "port": postgres_port,
        "login": "locations_reader",
        "schema": "app",
    }
    described: dict[str, dict[str, object]] = {
        "SEARCHSYNC_OPENSEARCH": {
            "conn_type": "opensearch",
            "host": host,
            "port": opensearch_port,
            "extra": {"use_ssl": False},
        },
        "SEARCHSYNC_POSTGRES": {**postgres, "password": postgres_password},
        "SEARCHSYNC_SLACK": {
            "conn_type": "slackwebhook",
            "host": f"{url(slack_port)}/services",
            "password": "T000/B000/XXX",
        },
        "AWS_DEFAULT": {**keys, "extra": {"region_name": REGION, "endpoint_url": url(aws_port)}},
    }
    return {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in described.items()}


def own_connection(home: Home) -> dict[str, str]:
    """As whom a task looks at Airflow itself: somebody who may only view. A task knows the address."""
    described = {"conn_type": "http", "login": VIEWER, "password": password(home, VIEWER)}
    return {"AIRFLOW_CONN_AIRFLOW_API": json.dumps(described)}


def settings(home: Home, *, port: int, metadata_dsn: str) -> dict[str, str]:
    """Airflow's own settings. Random secrets are made once and kept in the home."""
    folder = home.part("airflow")
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__API__BASE_URL": url(port),
        "AIRFLOW__API__HOST": ports.LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": secret(home.secrets, "api_secret_key"),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secret(home.secrets, "jwt_secret", length=64),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home.dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url(port)}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": _fernet_key(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{VIEWER}:viewer",
        "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_dsn.replace("postgresql://", "postgresql+psycopg://", 1),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS": "True",
        **PATIENCE,
        "GX_ANALYTICS_ENABLED": "false",
        "SEARCHSYNC_LOAD_POOL": POOL,
        **MALLOC,
        "SPT_NOENV": "1",  # Airflow renames its processes; else the new name overwrites the mark that `down` looks for
    }


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of an Airflow process: ours, and of this shell's what is not Airflow's or AWS's."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN + _OF_THE_SHELL) and not name.endswith(_OF_ENTITIES)
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    no_proxy = ",".join(
        filter(None, [inherited.get("NO_PROXY") or inherited.get("no_proxy"), ports.LOOPBACK, "localhost"])
    )
    return {**inherited, "PATH": path, "NO_PROXY": no_proxy, "no_proxy": no_proxy, **own}


def fingerprint(env: Mapping[str, str], *folders: str, files: Iterable[Path] = ()) -> str:
    """Changes when what a process reads at its start does: our settings, code in `folders` of the checkout, `files`."""
    ours = {name: value for name, value in env.items() if name.startswith(("AIRFLOW", "AWS_", "SEARCH"))}
    digest = hashlib.sha256(json.dumps(ours, sort_keys=True).encode())
    for path in sorted([path for folder in folders for path in (ROOT / folder).rglob("*.py")] + [*files]):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def password(home: Home, user: str = ADMIN) -> str:
    """The password of a login, in the file from which Airflow's simple login reads it."""
    made = {name: secret(home.secrets, f"airflow_{name}", length=12) for name in (ADMIN, VIEWER)}
    path = home.part("airflow") / "passwords.json"
    if read_json(path) != made:
        write_json(path, made)
    return made[user]


def prepare(home: Home, env: Mapping[str, str], metadata_dsn: str) -> None:
    """Make or update the metadata database, and pause all DAGs. None of the programs may run.

    A DAG that is left unpaused would fire for a time that has passed meanwhile.
    """
    home.part("airflow").mkdir(parents=True, exist_ok=True)
    password(home)
    with psycopg.connect(metadata_dsn, autocommit=True) as metadata:
        exists = metadata.execute("SELECT to_regclass('dag_run')").fetchone() != (None,)
        _migrate(home, env, exists=exists)
        metadata.execute("UPDATE dag SET is_paused = true")


def _migrate(home: Home, env: Mapping[str, str], *, exists: bool) -> None:
    done, version = home.part("airflow") / "migrated", importlib.metadata.version("apache-airflow-core")
    if exists and done.exists() and done.read_text(encoding="utf-8") == version:
        return
    log = home.log("airflow-migrate")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        command = [*_AIRFLOW, "db", "migrate"]
        result = subprocess.run(
            command, check=False, env=dict(env), cwd=home.part("airflow"), stdout=output, stderr=subprocess.STDOUT
        )
    if result.returncode != 0:
        raise LocalError(f"`airflow db migrate` failed; the end of {log}:\n{tail(log)}")
    done.write_text(version, encoding="utf-8")


def command(program: str) -> list[str]:
    return [*_AIRFLOW, *PROGRAMS[program]]


def _fernet_key(home: Home) -> str:
    raw = hashlib.sha256(secret(home.secrets, "fernet", length=32).encode()).digest()
    return base64.urlsafe_b64encode(raw).decode()


def is_healthy(api: AirflowApi) -> bool:
    """Whether Airflow's own report calls every program healthy; False as long as nobody answers."""
    try:
        report = api.health()
    except LocalError:
        return False
    wanted = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    return all((report.get(name) or {}).get("status") == "healthy" for name in wanted)
