"""Docker is not there when these tests run, so the files for it are held against the code instead.

What they would miss shows only on someone else's machine: a setting the code renamed, a port open to the network, a
password in the repository, a version that is no longer the tested one.
"""

import base64
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from local import airflow as local_airflow
from local import cognito
from local import opensearch as local_opensearch
from searchsync import alarms
from searchsync.catalog import CATALOG
from searchsync.readiness import checklist, of_files
from searchsync.stream.queue import DEAD_LETTER_QUEUE, PARKED_QUEUE

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
AIRFLOW = {name: service for name, service in SERVICES.items() if name.startswith("airflow-")}
ONCE = {"airflow-init", "members", "repository", "sample-data", "users"}

VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
REQUIRED = re.compile(r"\$\{\w+:\?[^}]+\}")

# Names of the code that these containers have no use for, and why.
NOT_FOR_CONTAINERS = {
    "SEARCHSYNC_AIRFLOW_USER": "what `./dev env` prints for scripts; the login here is always `admin`",
    "SEARCHSYNC_BENCH_DIR": "a tool of the checkout",
    "SEARCHSYNC_LOCAL_DAGS": "a tool of the checkout",
    "SEARCHSYNC_LOCAL_HOME": "a tool of the checkout",
    "SEARCHSYNC_LOCAL_PROCESS": "a tool of the checkout",
    "SEARCHSYNC_SEARCH_API_URL": "what `./dev env` prints for scripts",
    "SEARCHSYNC_POSTGRES_OWNER_DSN": "a tool of the checkout",
    "SEARCHSYNC_TEST_DIR": "a tool of the checkout",
    "SEARCHSYNC_OPENSEARCH_AWS_SERVICE": "for a cluster on AWS",
    "SEARCHSYNC_OPENSEARCH_CA_CERTS": "for a cluster with TLS",
    "SEARCHSYNC_OPENSEARCH_PASSWORD": "for a cluster with a login",
    "SEARCHSYNC_ENVIRONMENT": "for an environment of AWS: there are functions only there",
    "SEARCHSYNC_ENTITY": "for the function: the entity that it serves",
    "SEARCHSYNC_POSTGRES_SOURCE_ID": "for a database whose disk was restored",
    "SEARCHSYNC_OPENSEARCH_USER": "for a cluster with a login",
}
# Settings of the embedded Airflow that belong to one machine with few cores, a person watching and random ports.
NOT_FOR_COMPOSE = {
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__PORT",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
}


def strings(value: Any) -> Iterator[str]:
    """Every string in a parsed YAML value."""
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def resolved(text: str) -> str:
    """`text` as Compose hands it on, with the name of a required variable as its value."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else found[1], text).replace("$$", "$")


def environment() -> dict[str, str]:
    """Every variable of every service, and of the image; those of different services do not contradict each other."""
    found = dict(re.findall(r"^(?:ENV|   ) +(\w+)=(\S+)", DOCKERFILE, re.MULTILINE))
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert found.setdefault(name, value) == value, name
    return found


def example() -> dict[str, str]:
    """The variables of `.env.example`."""
    return dict(line.split("=", 1) for line in EXAMPLE.splitlines() if line and not line.startswith("#"))


def source(*folders: str) -> str:
    """The code in some folders, as one text."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert paths, f"no code in {folders}"
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def locked(package: str) -> str:
    """The version of a package in the lock file of the image."""
    found = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, package
    return found[1]


def test_no_container_of_ours_has_rights_of_root() -> None:
    """What somebody gets to run in one of them would have them, too. Databases start as root and give that up."""
    ours = {name: service for name, service in SERVICES.items() if service["image"].startswith("searchsync-")}
    assert len(ours) > 10
    for name, service in ours.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "user"} & service.keys(), name
    stages = re.findall(r"^FROM .*? AS (\S+)$(.*?)(?=^FROM )", DOCKERFILE + "FROM ", re.MULTILINE | re.DOTALL)
    assert {name for name, _ in stages} == {"airflow", "local", "search-api"}
    for name, text in stages:
        assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1].startswith("50000:"), name


def test_compose_file_fits_its_schema() -> None:
    """A typing error would show only where there is a Docker to refuse it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_part_of_the_system_is_a_service() -> None:
    """The people with Docker would get another system than the one that is tested."""
    programs = {f"airflow-{name}" for name in (*local_airflow.PROGRAMS, "init", "worker")}
    assert set(AIRFLOW) == programs
    others = {"postgres", "opensearch", "dashboards", "moto", "slack-sink", "redis", "sample-data", "members"}
    others |= {"repository", "search-api", "search-cache", "users"}
    others |= {f"{found.name}-stream" for found in CATALOG.values() if found.source == "dynamodb"}
    assert set(SERVICES) - programs == others


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_watched_and_waited_for(name: str) -> None:
    """A dead service would look alive, and one that starts too early would fail at random."""
    service = SERVICES[name]
    assert ("healthcheck" in service) == (name not in ONCE), "what runs on needs a check, what ends must not have one"
    for other, dependency in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert dependency["condition"] == expected, other
    if name in ONCE:  # otherwise `up --wait` takes its end for a failure
        assert any(name in waiting.get("depends_on", {}) for waiting in SERVICES.values())
    assert "mem_limit" in service, "one service must not take the machine down"


def test_ports_are_open_to_this_machine_only() -> None:
    """OpenSearch and the stand-ins ask nobody for a password: on another address, the whole network could use them."""
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    for name, ports in published.items():
        for port in ports:
            assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-\d+\}:\d+", port), f"{name}: {port}"
    known = {"airflow-api-server", "dashboards", "moto", "opensearch", "postgres", "search-api", "slack-sink"}
    assert set(published) == known
    assert "network_mode" not in set().union(*SERVICES.values())


def test_workers_scale() -> None:
    """`--scale airflow-worker=3` would fail: two containers cannot share a name or a port."""
    assert not {"container_name", "hostname", "ports"} & set(SERVICES["airflow-worker"])


def test_no_secret_is_in_the_file() -> None:
    """A secret that is written down once is in the history for ever, and the same on every machine."""
    secret_name = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY)(?!.*_FILE$)")
    checked = set()
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            parts = re.findall(r'"password": "([^"]*)"', value) + re.findall(r"://[^/:@\s]+:(.+?)@", value)
            if secret_name.search(name):
                parts.append(value)
            for part in parts:
                assert REQUIRED.fullmatch(part) or part == cognito.PASSWORD, f"{name} holds a literal secret"
                checked.add(name)
    assert {"AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "SEARCHSYNC_POSTGRES_DSN"} <= checked
    assert "SEARCH_API_CURSOR_KEYS" in checked
    assert {"AIRFLOW_CONN_SEARCHSYNC_POSTGRES", "AIRFLOW_CONN_SEARCHSYNC_SLACK", "AIRFLOW_CONN_AWS_DEFAULT"} <= checked


def test_env_example_names_every_variable_and_holds_no_secret() -> None:
    """A newcomer would start with a variable missing, or everyone with the same password."""
    used = {match[1]: match for text in strings(SERVICES) for match in VARIABLE.finditer(text)}
    values = example()
    assert set(values) == set(used)
    for name, match in used.items():
        if match[2] == "-":
            assert values[name] == match[3], f"{name} has two defaults"
    known = {"LOCAL_AWS_KEY": "testing", "SLACK_WEBHOOK_TOKEN": "T000/B000/XXX"}  # the stand-ins take anything
    assert {name: values[name] for name, match in used.items() if match[2] == "?" and values[name]} == known


def test_command_that_fills_env_works_once(tmp_path: Path) -> None:
    """The first command of a newcomer: weak keys would go unnoticed, and a second run must not change the passwords."""
    (tmp_path / ".env.example").write_text(EXAMPLE, encoding="utf-8")
    (command,) = re.findall(r"^#\s+(python3 -c .*)$", EXAMPLE, re.MULTILINE)
    arguments = [sys.executable, *shlex.split(command)[1:]]
    subprocess.run(arguments, cwd=tmp_path, check=True)
    env = tmp_path / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    filled = dict(re.findall(r"^(\w+)=(.*)$", env.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(filled) == set(example())
    secrets = {name: value for name, value in filled.items() if not example()[name]}
    assert len(set(secrets.values())) == len(secrets) >= 8
    assert all(re.fullmatch(r"[\w-]{40,}=*", value) for value in secrets.values()), "not safe in an address"
    assert len(base64.urlsafe_b64decode(secrets["AIRFLOW_FERNET_KEY"])) == 32
    assert len(secrets["AIRFLOW_JWT_SECRET"]) >= 64
    assert len(bytes.fromhex(secrets["SEARCH_API_CURSOR_KEYS"])) == 32
    before = env.read_bytes()
    assert subprocess.run(arguments, cwd=tmp_path, capture_output=True, check=False).returncode != 0
    assert env.read_bytes() == before


def test_names_are_those_of_the_code() -> None:
    """A renamed setting would be ignored without a word: reports in the wrong place, schedules in the wrong zone."""
    ours = re.compile(r"\bSEARCHSYNC_[A-Z_]+[A-Z]\b")
    given = {name for name in environment() if ours.fullmatch(name)}
    queues = (DEAD_LETTER_QUEUE, PARKED_QUEUE)
    named = {found.variable(what) for found in CATALOG.values() if found.source == "dynamodb" for what in queues}
    read = set(ours.findall(source("src", "plugins", "dags"))) | named
    made = set(re.findall(r"[\"'](SEARCHSYNC_[A-Z_]+)[\"']", source("local")))
    connections = {name.removeprefix("AIRFLOW_CONN_") for name in environment() if name.startswith("AIRFLOW_CONN_")}
    assert given - read - made == set(), "set here and known to nobody"
    assert read - given - set(NOT_FOR_CONTAINERS) == set(), "read by the code and not set here"
    assert made - given - connections - set(NOT_FOR_CONTAINERS) == set(), "set by the embedded stack and not here"
    assert set(NOT_FOR_CONTAINERS) & given == set()


def test_connections_are_those_that_the_dags_use() -> None:
    """A task would fail on its first line: the connection is not defined."""
    given = {name.removeprefix("AIRFLOW_CONN_") for name in environment() if name.startswith("AIRFLOW_CONN_")}
    used = {
        name.upper()
        for name in re.findall(
            r"[\"'](searchsync_[a-z]+|aws_default|search_api|airflow_api)[\"']", source("plugins", "dags")
        )
    } | {found.connection.upper() for found in CATALOG.values()}
    embedded = re.findall(
        r"[\"'](?:AIRFLOW_CONN_)?(SEARCHSYNC_[A-Z]+|AWS_DEFAULT|SEARCH_API|AIRFLOW_API)[\"']: ", source("local")
    )
    pools = {"SEARCHSYNC_LOAD"}
    assert {"SEARCHSYNC_OPENSEARCH", "SEARCHSYNC_POSTGRES", "SEARCH_API", "AIRFLOW_API"} <= used - pools <= given
    assert given == set(embedded) & given, "the embedded stack does not define it"


def test_addresses_are_services_of_the_file() -> None:
    """A renamed service would leave connections that lead nowhere."""
    # Links for the person at the browser, and what tokens of the emulator say.
    outside = {"localhost", "cognito-idp.eu-west-1.amazonaws.com"}
    hosts = set()
    for name, value in environment().items():
        text = resolved(value)
        if name.startswith("AIRFLOW_CONN_"):
            connection = json.loads(text)
            host = connection.get("host") or connection.get("extra", {}).get("endpoint_url")
            if host is None:
                assert name == "AIRFLOW_CONN_AIRFLOW_API", "tasks know its address"
                continue
            hosts.add((urlsplit(host).hostname or host) if "://" in host else host)
        elif "://" in text:
            hosts |= {urlsplit(address).hostname for address in re.findall(r"\w[\w+]*://[^\s\"\]]+", text)}
    known = {
        "airflow-api-server",
        "moto",
        "opensearch",
        "postgres",
        "redis",
        "search-api",
        "search-cache",
        "slack-sink",
    }
    assert hosts - outside == known
    assert hosts - outside <= set(SERVICES)


def test_airflow_knows_its_settings() -> None:
    """Airflow ignores a setting it does not know: the executor, the login or the state store would be the default."""
    described = distribution("apache-airflow-core").locate_file("airflow/config_templates/config.yml")
    provider = distribution("apache-airflow-providers-celery").locate_file(
        "airflow/providers/celery/get_provider_info.py"
    )
    sections = yaml.safe_load(Path(str(described)).read_text(encoding="utf-8"))
    sections |= run_path(str(provider))["get_provider_info"]()["config"]
    names = [name for name in environment() if name.startswith("AIRFLOW__")]
    assert len(names) > 15
    unknown = []
    for name in names:
        _, section, option = name.lower().split("__")
        if option not in sections.get(section, {}).get("options", {}):
            unknown.append(name)
    assert unknown == []


def test_the_executor_fits_the_locked_packages(tmp_path: Path) -> None:
    """The provider and Celery are locked apart: a pair that does not fit ends scheduler and workers when they start."""
    code = "from airflow.executors.executor_loader import ExecutorLoader as L; print(L.import_default_executor_cls())"
    environ = {"PATH": os.defpath, "AIRFLOW_HOME": str(tmp_path)}
    environ["AIRFLOW__CORE__EXECUTOR"] = environment()["AIRFLOW__CORE__EXECUTOR"]
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert "CeleryExecutor" in result.stdout, result.stderr


def test_airflow_settings_are_those_of_the_embedded_stack() -> None:
    """A setting that a bug taught us would be missing where it is needed most, with several workers."""
    embedded = set(re.findall(r"AIRFLOW__[A-Z_]+[A-Z]", source("local")))
    assert len(embedded) > 15
    assert embedded - set(environment()) - NOT_FOR_COMPOSE == set()
    settings = environment()
    assert settings["AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS"] == "True", "a cleared task would not run again"
    assert settings["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"
    assert settings["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert local_airflow.MALLOC.items() <= settings.items(), "memory would grow with the table"


def test_every_airflow_service_has_the_same_settings_and_volumes() -> None:
    """Components with different keys refuse each other's tokens; logs written to different places cannot be read."""
    common, volumes = AIRFLOW["airflow-worker"]["environment"], AIRFLOW["airflow-worker"]["volumes"]
    own = {
        "airflow-init": {"LOAD_SLOTS"},
        "airflow-api-server": {"SEARCHSYNC_AIRFLOW_PASSWORD", "AIRFLOW_VIEWER_PASSWORD"},
    }
    for name, service in AIRFLOW.items():
        assert common.items() <= service["environment"].items()
        assert set(service["environment"]) - set(common) == own.get(name, set())
        assert service["volumes"] == volumes
    for name in ("AIRFLOW__LOGGING__BASE_LOG_FOLDER", "SEARCHSYNC_REPORTS"):
        assert common[name] in {volume.split(":")[1] for volume in volumes}


def test_the_pool_of_the_load_tasks_is_made() -> None:
    """Tasks of a pool that does not exist stay scheduled for ever."""
    assert f"pools set {local_airflow.POOL} " in " ".join(AIRFLOW["airflow-init"]["command"])
    for service in AIRFLOW.values():
        assert service["environment"]["SEARCHSYNC_LOAD_POOL"] == local_airflow.POOL


def test_a_task_survives_the_restart_of_the_api_server() -> None:
    """As on the local stack, where tests/e2e shows it; the scheduler's own time-out is Airflow's, of five minutes."""
    for service in AIRFLOW.values():
        assert local_airflow.PATIENCE.items() <= service["environment"].items()
        assert "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT" not in service["environment"]


def test_versions_are_the_tested_ones() -> None:
    """A container with another version could differ in just the behaviour that a test has shown."""
    tags: dict[str, str] = {}
    for service in SERVICES.values():
        image, _, tag = service["image"].partition(":")
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)?", tag), f"{image} is not pinned"
        assert tags.setdefault(image, tag) == tag
    airflow = locked("apache-airflow")
    assert (tags["searchsync-airflow"], tags["searchsync-local"]) == (airflow, airflow)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tags["searchsync-search-api"] == project["version"]
    assert tags["opensearchproject/opensearch"] == local_opensearch.VERSION
    assert tags["opensearchproject/opensearch-dashboards"] == local_opensearch.VERSION
    (major,) = set(re.findall(r"pginstall(\d+)", source("local")))
    assert tags["postgres"].split(".")[0] == major
    (python,) = set(re.findall(r"^FROM python:(\d+\.\d+)-slim", DOCKERFILE, re.MULTILINE))
    assert (
        python == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["python_version"]
    )


def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Dockerfile by the stage's name, empty for the last."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("FROM "):
            current = found.setdefault(line.partition(" AS ")[2], [])
        current.append(line)
    return found


def test_production_image_has_nothing_for_development() -> None:
    """Emulators and test tools in production are code that nobody watches."""
    found = stages()
    assert list(found) == ["airflow", "local", "search-api", ""]
    assert found[""] == ["FROM airflow"], "what a build without a target makes"
    for name in ("airflow", "search-api"):
        assert not [line for line in found[name] if "requirements-dev" in line or "local" in line.split()], name
    assert not [line for line in found["search-api"] if "airflow" in line]
    assert SERVICES["search-api"]["build"]["target"] == "search-api"
    assert AIRFLOW["airflow-worker"]["build"]["target"] == "airflow"
    assert {service["build"]["target"] for name, service in SERVICES.items() if name in ("moto", "slack-sink")} == {
        "local"
    }


def test_images_are_built_from_locked_packages_and_run_as_nobody_special() -> None:
    """An unlocked package could change between two builds; a task as root could change the code."""
    for name, lines in stages().items():
        for line in lines:
            if "pip install" in line:
                assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line, line
        last = [line for line in lines if line.startswith("USER")][-1:]
        assert last == {"": [], "search-api": ["USER 50000:50000"]}.get(name, ["USER 50000:0"])


def test_images_are_small_closed_and_the_same_tomorrow() -> None:
    """A tag of the base is another image tomorrow; a compiler, or a package manager's cache, helps only an intruder."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    outside = {base for base in bases if base not in stages()}
    assert len(outside) == 1, "one base: its layers are stored once"
    assert all(re.fullmatch(r"python:3\.11-slim-\w+@sha256:[0-9a-f]{64}", base) for base in outside)
    commands = [line for lines in stages().values() for line in lines if line.startswith("RUN")]
    for line in commands:
        assert not re.search(r"\b(apt-get|apk|gcc|g\+\+|make|build-essential|curl|wget|git)\b", line), line
        if "pip install" in line and "/build" not in line:
            assert "--only-binary :all:" in line, "nothing is compiled"
    for name in ("airflow", "search-api"):
        assert any("PIP_NO_CACHE_DIR=1" in line for line in stages()[name])
        copied = [line for line in stages()[name] if line.startswith("COPY")]
        assert not [line for line in copied if "--chown" in line], "what a task runs, it cannot change"


def test_the_image_knows_the_authorities_of_the_database() -> None:
    """Without the file, no connection to RDS would be made; with another file, one to somebody else might be."""
    added = re.findall(
        r"^ADD +(\S+) +(--checksum=sha256:[0-9a-f]{64}) +(\S+) +(\S+)$", "\n".join(stages()["airflow"]), re.M
    )
    ((mode, _, source, target),) = [tuple(part.strip() for part in one) for one in added]
    assert (mode, source.startswith("https://truststore.pki.rds.amazonaws.com/")) == ("--chmod=0444", True)
    settings = (ROOT / "infra" / "modules" / "airflow" / "settings.tf").read_text(encoding="utf-8")
    assert f'certificates = "{target}"' in settings


def test_build_context_holds_what_is_copied_and_no_more() -> None:
    """A missing folder fails the build; one too many sends `.env` or the data of the embedded stack to the builder."""
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    copied = {part for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for part in line.split()}
    assert set(allowed) == copied
    assert all((ROOT / path).exists() for path in copied)
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1] == "*"


def test_the_image_of_airflow_has_the_files_that_readiness_looks_at() -> None:
    """Without them, eight of thirty items would be open for ever where the DAG runs."""
    copied = [line.split()[1] for line in stages()["airflow"] if line.startswith("COPY")]
    pages = {item.report for item in checklist.read().items if item.report}
    pages |= {row.runbook.partition("#")[0] for row in alarms.table().values()} | {"docs/operations/incident.md"}
    pages |= {f".github/workflows/{name}" for name in of_files.WORKFLOWS}
    assert not [page for page in pages if not any(page.startswith(f"{folder}/") for folder in copied)]


def test_commands_and_mounted_files_exist() -> None:
    """A moved module would end a container as soon as it starts."""
    for name, service in SERVICES.items():
        command = service.get("command", [])
        for option, module in pairwise(command):
            if option == "-m":
                assert find_spec(module) is not None, name
            if option == "-c" and command[0] == "python":
                compile(resolved(module), name, "exec")
                for imported in re.findall(r"from (local[\w.]*) import (\w+)", module):
                    assert hasattr(import_module(imported[0]), imported[1]), name
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (ROOT / volume.split(":")[0]).is_file(), volume


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_shell_scripts_parse() -> None:
    """They run in containers only: a quote too many would show there."""
    scripts = [service["command"][2] for service in SERVICES.values() if service.get("command", [""])[0] == "bash"]
    scripts.append(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["configs"]["databases"]["content"])
    assert len(scripts) == 3
    for script in scripts:
        result = subprocess.run(["bash", "-n"], input=resolved(script), capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
