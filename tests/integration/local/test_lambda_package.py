"""The function as it is deployed: from its archive, with nothing beside it."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from local import lambda_package, stream_function
from local import opensearch as local_opensearch
from local.errors import LocalError
from local.lambda_package import Package
from searchsync.catalog import entity
from searchsync.cluster.index import Index
from searchsync.sampling import is_sampled
from searchsync.stream import gaps
from tests.collector import collecting
from tests.members import World, record
from tests.steps import living, make_index, serve

REPO = Path(__file__).parents[3]
MEMBERS = entity("members")
CPU = {"arm64": "aarch64", "x86_64": "x86_64"}
AWS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "eu-west-1"}

# What it prints is the function's; what is to be known about it goes to a file.
INVOKE = """
import os, sys, time
began = time.process_time()
import handler
seconds = time.process_time() - began
import json

class Context:
    aws_request_id = os.environ.get("REQUEST_ID", "any")
    function_version = "1"

    def get_remaining_time_in_millis(self):
        return 60_000

answer = handler.handler(json.load(sys.stdin), Context())
with open(sys.argv[1], "w") as report:
    json.dump({"answer": answer, "seconds": seconds, "modules": sorted(sys.modules), "path": sys.path}, report)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Package]:
    return lambda_package.build(MEMBERS, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def unpacked(packages: list[Package], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for this machine. Where it has machine code, it also has the same in Python, for other versions."""
    (package,) = (p for p in packages if platform.machine() in {p.path.stem.split("-")[1], CPU[_architecture(p)]})
    folder = tmp_path_factory.mktemp("task")
    with ZipFile(package.path) as archive:
        archive.extractall(folder)
    return folder


def _architecture(package: Package) -> str:
    return package.path.stem.rpartition("-")[2]


def invoke(unpacked: Path, event: Any, **environment: str) -> tuple[dict[str, Any], list[str]]:
    """One cold start with one event, in a Python without packages; its report, and the lines that it printed."""
    report = unpacked.parent / f"{unpacked.name}.json"
    result = subprocess.run(
        [sys.executable, "-S", "-P", "-c", INVOKE, str(report)],
        input=json.dumps(event),
        env={"PYTHONPATH": str(unpacked), "SEARCHSYNC_ENTITY": "members", **environment},
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert not [folder for folder in found["path"] if "site-packages" in folder]
    return found, result.stdout.splitlines()


def test_the_same_checkout_is_the_same_bytes(
    packages: list[Package], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no one can say which code a function runs, and each deployment is a change."""
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "1")
    monkeypatch.setenv("UV_LINK_MODE", "copy")
    before = os.umask(0o077)
    try:
        again = lambda_package.build(MEMBERS, tmp_path)
    finally:
        os.umask(before)
    assert [p.sha256 for p in again] == [p.sha256 for p in packages]
    assert [p.path.read_bytes() for p in again] == [p.path.read_bytes() for p in packages]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["members_stream-arm64.zip", "members_stream-x86_64.zip"]


def test_another_machine_makes_the_same_bytes(packages: list[Package], tmp_path: Path) -> None:
    """Its folder, its user, its language, its time and what it has in its caches are others: the archive is not."""
    checkout = tmp_path / "elsewhere" / "a checkout"
    for name in ("include", "lambdas", "local", "src"):
        shutil.copytree(REPO / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "requirements.txt", checkout)
    for path in checkout.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    other = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("UV_", "SEARCHSYNC_", "XDG_"))},
        **{name: value for name, value in os.environ.items() if name == "UV_DEFAULT_INDEX"},
        "HOME": str(tmp_path / "home"),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(checkout / "src"),
        "PYTHONHASHSEED": "1",
        "LC_ALL": "C",
        "TZ": "Pacific/Auckland",
    }
    command = [sys.executable, "-m", "local", "package", "members"]
    done = subprocess.run(command, cwd=checkout, env=other, capture_output=True, text=True, check=False, umask=0o077)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"SHA-256 +(\w+)", done.stdout) == [package.sha256 for package in packages]


def test_packages_hold_what_the_function_needs_for_their_processor(packages: list[Package]) -> None:
    assert [_architecture(package) for package in packages] == ["x86_64", "arm64"]
    for package in packages:
        with ZipFile(package.path) as archive:
            files = archive.namelist()
            assert sum(entry.file_size for entry in archive.infolist()) == package.unzipped
        assert {"handler.py", "searchsync/stream/consumer.py", "opensearchpy/__init__.py", "boto3/__init__.py"} <= {
            *files
        }
        assert {f"searchsync/include/mappings/{name}.json" for name in ("members", "searchsync-gaps")} <= {*files}
        assert not {file.split("/")[0] for file in files} & {"grpc", "psycopg", "yaml", "airflow", "bin"}
        wanted = (f".cpython-313-{CPU[_architecture(package)]}-linux-gnu.so", ".abi3.so")
        assert [file for file in files if file.endswith((".so", ".pyc")) and not file.endswith(wanted)] == []
        assert [file for file in files if file.endswith((".dist-info/RECORD", ".dist-info/INSTALLER"))] == []


def test_the_unpacked_function_writes_what_is_good_and_parks_what_is_not(
    world: World, opensearch_server: local_opensearch.Server, aws_url: str, unpacked: Path
) -> None:
    """A package that lacks a module says so on AWS only, and what parks as late as at the first poison."""
    blue = serve(world.client, world.entity)
    world.put("m-1", name="Ada")
    world.put("m-2", name="Bob", sync={"M": {}})
    report, lines = invoke(
        unpacked,
        {"Records": world.records()},
        SEARCHSYNC_OPENSEARCH_URL=opensearch_server.url,
        SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE=world.urls["dead"],
        AWS_ENDPOINT_URL=aws_url,
        **AWS,
    )
    assert report["answer"] == {"batchItemFailures": []}
    assert living(world.client, blue) == {"m-1": {"member_id": "m-1", "name": "Ada"}}
    assert [(message["key"], message["reason"]) for message in world.messages()] == [("m-2", "invalid_attribute")]
    (line,) = lines
    metrics = json.loads(line)
    assert (metrics["Records"], metrics["Written"], metrics["Parked"], metrics["level"]) == (2, 1, 1, "info")
    described, by_version = metrics["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == by_version["Namespace"] == "SearchSync"
    assert (described["Dimensions"], by_version["Dimensions"]) == ([["Entity"]], [["Entity", "Version"]])
    assert [metric["Name"] for metric in by_version["Metrics"]] == ["Records", "Parked", "Unacknowledged"]
    page = (REPO / "docs" / "operations" / "stream.md").read_text(encoding="utf-8")
    listed = page[page.index("one line of metrics") :].partition("The metric `Errors`")[0]
    assert [metric["Name"] for metric in described["Metrics"]] == re.findall(r"`(\w+)`", listed), "alarms name them"


def test_a_tenth_of_the_invocations_is_traced_down_to_opensearch(
    world: World, opensearch_server: local_opensearch.Server, unpacked: Path
) -> None:
    """By the id of a record its trace is found; a package without OpenTelemetry would keep none, without a word."""
    blue = serve(world.client, world.entity)
    batch = [record("m-1", name="Ada"), record("m-2", name="Bob")]
    numbers = [one["dynamodb"]["SequenceNumber"] for one in batch]
    sampled, other = (
        next(i for i in "abcdefghijklmnopqrstuvwxyz" if is_sampled(i) is wanted) for wanted in (True, False)
    )
    with collecting() as collector:
        environment = {
            "SEARCHSYNC_OPENSEARCH_URL": opensearch_server.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            **AWS,
        }
        _, lines = invoke(unpacked, {"Records": batch}, **environment, REQUEST_ID=sampled)
        said = [json.loads(line) for line in lines]
        spans = list(collector.spans)
        report, quiet = invoke(unpacked, {"Records": batch}, **environment, REQUEST_ID=other)
    assert len(collector.spans) == len(spans), "the other one is not kept"
    assert "opentelemetry" not in report["modules"]
    (whole,) = [span for span in spans if span.name == "members_stream"]
    assert whole.attributes["searchsync.records"] == numbers
    assert whole.attributes["faas.invocation_id"] == sampled
    asked = [span for span in spans if span.name == "opensearch _bulk"]
    assert len(asked) == 2, "the look-up and the write"
    assert {(span.trace, span.parent) for span in asked} == {(whole.trace, whole.id)}
    assert {span.attributes["db.collection.name"] for span in asked} == {blue}
    assert not [span for span in spans if "Ada" in span.raw], "a document is in no trace"

    assert [line["level"] for line in said] == ["debug", "debug", "info"]
    assert {(line["entity"], line["request_id"]) for line in said} == {("members", sampled)}
    assert {line["index"] for line in said[:2]} == {blue}
    assert (said[-1]["first_record"], said[-1]["last_record"]) == (numbers[0], numbers[-1])
    assert said[-1]["duration_ms"] > 0
    stored = world.client.request("GET", f"/{blue}/_doc/m-1")["_source"]["sync"]["position"]
    assert stored.endswith(numbers[0]), "by the position of a document its batch is found"
    assert [json.loads(line)["level"] for line in quiet] == ["info"]


@pytest.mark.parametrize("answer", ["refuses", "says nothing"])
def test_a_collector_holds_up_no_batch(
    answer: str, world: World, opensearch_server: local_opensearch.Server, unpacked: Path
) -> None:
    """What looks at the function must not be what stops it."""
    blue = serve(world.client, world.entity)
    sampled = next(i for i in "abcdefghijklmnopqrstuvwxyz" if is_sampled(i))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if answer == "says nothing" else 9
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "REQUEST_ID": sampled, **AWS}
        event = {"Records": [record("m-1", name="Ada")]}
        began = time.monotonic()
        report, lines = invoke(unpacked, event, SEARCHSYNC_OPENSEARCH_URL=opensearch_server.url, **environment)
        took = time.monotonic() - began
    assert report["answer"] == {"batchItemFailures": []}
    assert "m-1" in living(world.client, blue)
    assert took < 10
    metrics = next(json.loads(line) for line in lines if "_aws" in line)
    assert metrics["duration_ms"] < 5_000


def test_the_unpacked_function_notes_what_a_member_misses(
    world: World, opensearch_server: local_opensearch.Server, unpacked: Path
) -> None:
    """The first note makes its index: that file is read on such a day only."""
    blue = serve(world.client, world.entity)
    other = make_index(world.client, world.entity, "other")
    world.client.request("PUT", f"/{other}/_block/write")
    batch = [record("m-1", name="Ada")]
    report, lines = invoke(unpacked, {"Records": batch}, SEARCHSYNC_OPENSEARCH_URL=opensearch_server.url, **AWS)
    assert report["answer"] == {"batchItemFailures": []}, lines
    assert "m-1" in living(world.client, blue)
    assert len(gaps.of_index(Index(world.client, other))) == 1


PYTHON = """import urllib3

def transform(item: dict) -> dict:
    return {**item, "name": f"{item['name'].title()} {urllib3.__name__}"}
"""


@pytest.fixture
def transformed(tmp_path: Path, unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which members have a transformation, without its file."""
    shutil.copytree(REPO / "include", tmp_path / "include")
    entity_file = tmp_path / "include" / "entities" / "members.yaml"
    with entity_file.open("a", encoding="utf-8") as file:
        file.write("transform: {version: 1, constant: {status: known}, python: members.py}\n")
    (tmp_path / "include" / "transforms").mkdir(exist_ok=True)
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path / "include"))
    shutil.copytree(unpacked, tmp_path / "task", ignore=shutil.ignore_patterns("include", "__pycache__"))
    return tmp_path


def test_a_transformation_goes_with_its_function(
    world: World, opensearch_server: local_opensearch.Server, aws_url: str, transformed: Path
) -> None:
    blue = serve(world.client, world.entity)
    (transformed / "include" / "transforms" / "members.py").write_text(PYTHON)
    lambda_package._pack_files(MEMBERS, transformed / "task")
    batch = [record("m-1", name="ada"), record("m-2", sequence=2, status="x")]
    queue = {"SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": world.urls["dead"], "AWS_ENDPOINT_URL": aws_url}
    url = {"SEARCHSYNC_OPENSEARCH_URL": opensearch_server.url}
    report, lines = invoke(transformed / "task", {"Records": batch}, **url, **queue, **AWS)
    assert report["answer"] == {"batchItemFailures": []}, lines
    made = {"member_id": "m-1", "name": "Ada urllib3", "status": "known"}
    assert living(world.client, blue) == {"m-1": made}
    (parked,) = world.messages()
    assert (parked["key"], parked["reason"]) == ("m-2", "transform")
    assert parked["detail"] == "BadItem: include/transforms/members.py, line 4: KeyError"


@pytest.mark.parametrize("line", ["import pandas", "from psycopg import sql", "from . import other"])
def test_a_transformation_that_imports_what_its_function_has_not_is_not_packed(transformed: Path, line: str) -> None:
    """Else it works in every test, and no cold start succeeds."""
    path = transformed / "include" / "transforms" / "members.py"
    path.write_text(f"import json\n\ndef transform(item):\n    {line}\n    return item\n")
    with pytest.raises(LocalError, match=rf"{path}:4: the function's package has no {line.split()[1]}"):
        lambda_package._pack_files(MEMBERS, transformed / "task")


def test_a_transformation_that_is_not_there_is_not_packed(transformed: Path) -> None:
    with pytest.raises(LocalError, match=r"members\.py cannot be packed"):
        lambda_package._pack_files(MEMBERS, transformed / "task")


def test_a_cold_start_imports_little(unpacked: Path) -> None:
    """Half a second of a processor, with bytecode: the first run makes it. On Lambda compiling comes on top."""
    reports = [invoke(unpacked, {"Records": []}, SEARCHSYNC_OPENSEARCH_URL="http://127.0.0.1:1")[0] for _ in range(3)]
    assert min(report["seconds"] for report in reports) < 0.5
    modules = {*reports[0]["modules"]}
    assert len(modules) < 600
    assert "opensearchpy" in modules
    assert not modules & {
        "boto3",
        "opentelemetry",
        "searchsync.sources.postgres",
        "psycopg",
        "yaml",
        "airflow",
        "grpc",
        "aiohttp",
    }


class _Recorder(BaseHTTPRequestHandler):
    """An OpenSearch that knows no index, and keeps how it was asked."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name that it has there
        pass


@pytest.fixture
def recorder() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and the ``Authorization`` of each request that it got."""
    seen: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Recorder", (_Recorder,), {"seen": seen})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def test_requests_are_signed_for_the_managed_service(recorder: tuple[str, list[str]], unpacked: Path) -> None:
    url, seen = recorder
    batch = [record("m-1", name="Ada")]
    report, _ = invoke(
        unpacked,
        {"Records": batch},
        SEARCHSYNC_OPENSEARCH_URL=url,
        SEARCHSYNC_OPENSEARCH_AWS_SERVICE="es",
        **AWS,
    )
    assert seen
    for authorization in seen:
        scheme, credential, signed, signature = authorization.replace(",", "").split()
        assert scheme == "AWS4-HMAC-SHA256"
        assert credential.startswith("Credential=any/")
        assert credential.endswith("/eu-west-1/es/aws4_request")
        assert "host" in signed.removeprefix("SignedHeaders=").split(";")
        assert len(signature.removeprefix("Signature=")) == 64
    assert report["answer"] == {"batchItemFailures": [{"itemIdentifier": batch[0]["dynamodb"]["SequenceNumber"]}]}


def test_a_lock_of_other_requirements_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "lambdas" / "stream"
    shutil.copytree(stream_function.FOLDER, source)
    shutil.copy(REPO / "requirements.txt", tmp_path)
    with (source / "requirements.in").open("a", encoding="utf-8") as file:
        file.write("PyYAML\n")
    with pytest.raises(LocalError, match=r"requirements\.txt does not match requirements\.in"):
        lambda_package.build(MEMBERS, tmp_path / "packages", source)
    assert not (tmp_path / "packages").exists()


def test_without_network_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(LocalError, match=r"`uv pip compile` failed .* network"):
        lambda_package.build(MEMBERS, tmp_path / "packages")


def test_over_lambdas_limit_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_package, "UNZIPPED_LIMIT", 20_000_000)
    with pytest.raises(LocalError, match=r"members_stream-x86_64\.zip would have 3\d,.* Lambda takes 20,000,000"):
        lambda_package.build(MEMBERS, tmp_path)
    assert list(tmp_path.iterdir()) == []
