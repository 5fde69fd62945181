"""Airflow on Fargate: the services of the compose file, with its settings and no others that nobody decided."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg.conninfo
import pytest
import yaml

from local import airflow as local_airflow
from local.stream_function import served
from search_ops import ecs_worker
from searchsync.sources.postgres_iam import IamLogin
from searchsync.stream.queue import DEAD_LETTER_QUEUE, PARKED_QUEUE
from tests.infra import alarms
from tests.infra.plans import ACCOUNT, REGION, Planned

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
HERE = {name: dict(service["environment"]) for name, service in COMPOSE.items() if name.startswith("airflow-")}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

ENVIRONMENTS = ("dev", "production")
EACH = pytest.mark.parametrize("environment", ENVIRONMENTS)
SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
ALL = (*SERVICES, "migrate")

ONLY_HERE = {
    "AWS_ACCESS_KEY_ID": "the role of the task has no key",
    "AWS_EC2_METADATA_DISABLED": "it keeps the emulator's clients away from AWS",
    "AWS_ENDPOINT_URL": "the emulator",
    "AWS_SECRET_ACCESS_KEY": "the role of the task has no key",
    "LOAD_SLOTS": "the command of the migration holds the number",
    "SEARCHSYNC_SLACK_SINK_URL": "the stand-in for Slack",
}
ONLY_ON_AWS = {
    "AIRFLOW_HOME": "the image is read-only, so generated files are below /tmp",
    "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": "workers tell ECS when they are busy, and how many tasks wait",
    "AIRFLOW__LOGGING__JSON_LOGS": "CloudWatch's queries read fields",
    "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "CloudWatch holds up no task, and all logs have the same fields",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "a task's log outlives its container",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "a task's log outlives its container",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "a task's log outlives its container",
    "HOME": "as AIRFLOW_HOME, for libraries",
    "PGPASSWORD": "the password of Airflow's database is a secret, and its address is none",
    "PGSSLMODE": "RDS takes no connection without TLS",
    "PGSSLROOTCERT": "RDS has an authority of its own",
    "SEARCHSYNC_ENVIRONMENT": "there is a function of AWS, whose delivery cluster_health looks at",
    "SEARCHSYNC_OPENSEARCH_AWS_SERVICE": "the domain takes signed requests alone",
    "SEARCHSYNC_POSTGRES_IAM": "locations_reader logs in by a token",
}
OTHERWISE = {
    "AIRFLOW_CONN_AWS_DEFAULT": "the task's role in place of the emulator's keys",
    "AIRFLOW_CONN_SEARCHSYNC_OPENSEARCH": "TLS and signed requests",
    "AIRFLOW_CONN_SEARCHSYNC_POSTGRES": "TLS, and a login by IAM",
    "AIRFLOW__API__BASE_URL": "the address of the load balancer",
    "AIRFLOW__CELERY__BROKER_URL": "Valkey with TLS",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "environments.yaml",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "a name of the private zone",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "the image is read-only",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "RDS; the password is a secret of its own",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "the image is read-only",
    "SEARCHSYNC_AIRFLOW_URL": "the address of the load balancer",
    "SEARCHSYNC_OPENSEARCH_URL": "the domain",
    "SEARCHSYNC_POSTGRES_DSN": "TLS, and a login by IAM",
    "SEARCHSYNC_TIMEZONE": "UTC until somebody decides otherwise",
}
SECRETS = {
    "AIRFLOW_CONN_AIRFLOW_API": "airflow-viewer",
    "AIRFLOW_CONN_SEARCHSYNC_SLACK": "slack-webhook",
    "AIRFLOW_CONN_SEARCH_API": "search-api-warmer",
    "AIRFLOW__API_AUTH__JWT_SECRET": "airflow-jwt-secret",
    "AIRFLOW__API__SECRET_KEY": "airflow-api-secret-key",
    "AIRFLOW__CORE__FERNET_KEY": "airflow-fernet-key",
    "PGPASSWORD": "airflow-database",
}
PASSWORD = re.compile(r'://[^/@]*:[^/@]+@|"password"|password=')
LOGIN = {"SEARCHSYNC_AIRFLOW_PASSWORD": "airflow-login", "AIRFLOW_VIEWER_PASSWORD": "airflow-viewer, password"}


def container(plan: Planned, service: str) -> dict[str, Any]:
    definition = plan.one(f'module.airflow.aws_ecs_task_definition.this["{service}"]')
    (found,) = json.loads(definition["container_definitions"])
    return dict(found)


def told(plan: Planned, service: str = "worker") -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(plan, service)["environment"]}


def secrets(plan: Planned, service: str) -> dict[str, str]:
    found = {one["name"]: one["valueFrom"] for one in container(plan, service)["secrets"]}
    short = {name: re.sub(r".*searchsync/|-AbCdEf", "", arn) for name, arn in found.items()}
    return {name: re.sub(r":(\w+)::$", r", \1", secret) for name, secret in short.items()}


@EACH
def test_the_settings_are_those_of_the_compose_file(planned: Callable[[str], Planned], environment: str) -> None:
    """What a bug taught us there must not be missing here; each difference has a reason above."""
    plan = planned(environment)
    here = {name: value for service in HERE.values() for name, value in service.items()}
    there = {**told(plan), **SECRETS, **LOGIN}
    assert here.keys() - there.keys() == ONLY_HERE.keys()
    assert there.keys() - here.keys() == ONLY_ON_AWS.keys()
    both = (here.keys() & there.keys()) - SECRETS.keys() - LOGIN.keys() - queue_variables()
    assert {name for name in both if here[name] != there[name]} == OTHERWISE.keys()


def queue_variables() -> set[str]:
    return {entity.variable(what) for entity in served() for what in (DEAD_LETTER_QUEUE, PARKED_QUEUE)}


@EACH
def test_each_entity_has_its_queues(planned: Callable[[str], Planned], environment: str) -> None:
    given, prefix = told(planned(environment)), f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/"
    for entity in served():
        assert given[entity.variable(DEAD_LETTER_QUEUE)] == f"{prefix}{entity.name}-dlq"
        assert given[entity.variable(PARKED_QUEUE)] == f"{prefix}{entity.name}-parked"


@EACH
def test_no_secret_is_in_a_variable(planned: Callable[[str], Planned], environment: str) -> None:
    """Whoever may describe a task would read it."""
    plan = planned(environment)
    for service in ALL:
        given = told(plan, service)
        assert given == told(plan), "components with different settings do not work together"
        assert secrets(plan, service) == (SECRETS | LOGIN if service == "api-server" else SECRETS)
        assert not given.keys() & {*SECRETS, *LOGIN}
        assert not [name for name, value in given.items() if PASSWORD.search(value)]


@EACH
def test_the_source_is_read_by_a_login_of_iam(planned: Callable[[str], Planned], environment: str) -> None:
    """The library itself accepts the connection: TLS is checked, one host, no password."""
    given = told(planned(environment))
    connection = json.loads(given["AIRFLOW_CONN_SEARCHSYNC_POSTGRES"])
    in_airflow = {
        "host": connection["host"],
        "port": str(connection["port"]),
        "dbname": connection["schema"],
        "user": connection["login"],
        **{name: connection["extra"][name] for name in ("sslmode", "sslrootcert")},
    }
    assert connection["extra"]["iam"] is True
    assert "password" not in connection
    assert psycopg.conninfo.conninfo_to_dict(given["SEARCHSYNC_POSTGRES_DSN"]) == in_airflow
    IamLogin(given["SEARCHSYNC_POSTGRES_DSN"], "the source", lambda: None)
    assert given["SEARCHSYNC_POSTGRES_IAM"] == "true"


@EACH
def test_what_is_read_is_in_the_image(planned: Callable[[str], Planned], environment: str) -> None:
    """Paths of the image, and the only places that can be written on a read-only file system."""
    plan = planned(environment)
    given = told(plan)
    assert given["PGSSLROOTCERT"] in DOCKERFILE
    assert 'VOLUME ["/tmp"]' in DOCKERFILE, "Fargate mounts a volume for root alone, unless the image declares it"
    assert given["AIRFLOW__CORE__DAGS_FOLDER"] == "/opt/airflow/dags"
    for name in ("AIRFLOW_HOME", "HOME", "AIRFLOW__LOGGING__BASE_LOG_FOLDER"):
        assert given[name].startswith("/tmp/"), name
    for service in ALL:
        found = container(plan, service)
        assert found["readonlyRootFilesystem"] is True
        assert found["user"] == "50000:0"
        assert found["linuxParameters"] == {"initProcessEnabled": True, "capabilities": {"add": [], "drop": ["ALL"]}}
        assert {mount["containerPath"] for mount in found["mountPoints"]} == {"/tmp", given["SEARCHSYNC_REPORTS"]}
        assert found["image"].endswith(f"@sha256:{'a' * 64}")


@EACH
def test_every_service_runs_the_command_of_the_compose_file(
    planned: Callable[[str], Planned], environment: str
) -> None:
    """And no sooner than the database is migrated: a new image may need another one than the last."""
    plan = planned(environment)
    assert set(plan.of("module.airflow.aws_ecs_task_definition.")) == {
        f'module.airflow.aws_ecs_task_definition.this["{service}"]' for service in ALL
    }
    assert len(plan.of("module.airflow.aws_ecs_service.")) == len(SERVICES)
    for service in SERVICES:
        command = container(plan, service)["command"]
        own = COMPOSE[f"airflow-{service}"]["command"]
        program = own[-1].strip().splitlines()[-1].removeprefix("exec ") if own[0] == "bash" else " ".join(own)
        assert command[:2] == ["bash", "-ec"]
        assert command[2].rstrip().endswith(f"&& exec {program}")
        assert "airflow db check-migrations" in command[2]
    migrate = container(plan, "migrate")["command"][2]
    assert migrate.startswith("airflow db migrate && airflow pools set")
    assert f"pools set {local_airflow.POOL} " in migrate
    assert told(plan)["SEARCHSYNC_LOAD_POOL"] == local_airflow.POOL


@EACH
def test_each_service_is_watched_as_in_the_compose_file(planned: Callable[[str], Planned], environment: str) -> None:
    plan = planned(environment)
    for service in SERVICES:
        check = container(plan, service)["healthCheck"]
        assert check["command"][0] in ("CMD", "CMD-SHELL")
        theirs, ours = COMPOSE[f"airflow-{service}"]["healthcheck"]["test"][-1], check["command"][-1]
        for word in ("/api/v2/monitor/health", ":8974/health", "inspect ping", "dag_processor", "triggerer"):
            assert (word in theirs) == (word in ours), word
        assert check["startPeriod"] == 300, "the longest that ECS allows: it waits for the migration"
    assert "healthCheck" not in container(plan, "migrate")


@EACH
def test_tasks_are_replaced_without_a_gap(planned: Callable[[str], Planned], environment: str) -> None:
    for address, service in planned(environment).of("module.airflow.aws_ecs_service.").items():
        assert (service["deployment_minimum_healthy_percent"], service["deployment_maximum_percent"]) == (100, 200)
        assert service["deployment_circuit_breaker"] == [{"enable": True, "rollback": True}], address
        assert not service["network_configuration"][0]["assign_public_ip"]


@EACH
def test_a_worker_gets_the_time_that_fargate_has(planned: Callable[[str], Planned], environment: str) -> None:
    """And protects itself from being stopped while it runs tasks."""
    plan = planned(environment)
    assert container(plan, "worker")["stopTimeout"] == 120
    assert json.loads(told(plan)["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"]) == {"imports": ["search_ops.ecs_worker"]}
    limits = plan.one("module.airflow.aws_appautoscaling_target.workers")
    assert 1 <= limits["min_capacity"] <= limits["max_capacity"], "without a worker, nobody counts what waits"


def test_workers_scale_by_the_tasks_that_wait_and_run(planned: Callable[[str], Planned]) -> None:
    """The metric is for each worker, as target tracking wants it: one that counts the queue alone never settles."""
    plan = planned("production")
    policy = plan.one("module.airflow.aws_appautoscaling_policy.workers")
    (tracked,) = policy["target_tracking_scaling_policy_configuration"]
    (specified,) = tracked["customized_metric_specification"]
    found = {
        metric["id"]: (metric["metric_stat"][0]["metric"][0]["metric_name"], metric["metric_stat"][0]["stat"])
        for metric in specified["metrics"]
        if metric["metric_stat"]
    }
    printed = json.loads(ecs_worker.metrics(queued=1, running=2))
    (described,) = printed["_aws"]["CloudWatchMetrics"]
    dimensions = [{"name": name, "value": printed[name]} for name in described["Dimensions"][0]]
    for metric in [one["metric_stat"][0]["metric"][0] for one in specified["metrics"] if one["metric_stat"]]:
        assert (metric["namespace"], metric["dimensions"]) == (described["Namespace"], dimensions)
        assert metric["metric_name"] in printed
    assert found == {
        "queued": ("QueuedTasks", "Average"),
        "running": ("RunningTasks", "Average"),
        "workers": ("RunningTasks", "SampleCount"),
    }
    (returned,) = [metric for metric in specified["metrics"] if metric["return_data"]]
    assert returned["expression"] == "queued / workers + running"
    assert tracked["target_value"] <= int(told(plan)["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
    assert len(plan.of("module.airflow.aws_appautoscaling_scheduled_action.")) == 2


@EACH
def test_sizes_and_times_are_those_of_the_table(planned: Callable[[str], Planned], environment: str) -> None:
    plan, value = planned(environment), {name: row[environment] for name, row in alarms.ENVIRONMENTS.items()}
    workers = value["airflow_workers"]
    sizes = {service: value[f"airflow_{service.replace('-', '_')}"] for service in SERVICES if service != "worker"}
    sizes |= {"worker": {**workers, "tasks": workers["min"]}}
    for service, size in sizes.items():
        definition = plan.one(f'module.airflow.aws_ecs_task_definition.this["{service}"]')
        assert (definition["cpu"], definition["memory"]) == (str(size["cpu"]), str(size["memory"])), service
        assert definition["skip_destroy"] is True, "a rollback goes back to an earlier revision"
        running = plan.one(f'module.airflow.aws_ecs_service.this["{service}"]')
        assert running["desired_count"] == size["tasks"], service
        assert len(running["load_balancer"]) == (service == "api-server"), service
    limits = plan.one("module.airflow.aws_appautoscaling_target.workers")
    assert (limits["min_capacity"], limits["max_capacity"]) == (workers["min"], workers["max"])
    assert plan.scheduled("airflow") == value["airflow_schedule"]


@EACH
def test_reports_are_shared_and_encrypted(planned: Callable[[str], Planned], environment: str) -> None:
    """The API server shows what workers write."""
    plan = planned(environment)
    assert plan.one("module.airflow.aws_efs_file_system.reports")["encrypted"] is True
    (user,) = plan.one("module.airflow.aws_efs_access_point.reports")["posix_user"]
    assert (user["uid"], user["gid"]) == (50000, 0)
    for definition in plan.of("module.airflow.aws_ecs_task_definition.").values():
        (volume,) = [one for one in definition["volume"] if one["name"] == "reports"]
        (efs,) = volume["efs_volume_configuration"]
        assert efs["transit_encryption"] == "ENABLED"
        assert efs["authorization_config"][0]["iam"] == "ENABLED"
