"""The direction of dependencies, and the gates of lint and types: what would otherwise be kept by nobody."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
CHECKED = [
    name
    for name in ("src", "services", "lambdas", "plugins", "dags", "local", "benchmarks", "tests")
    if (REPO / name).is_dir()
]

# Who may import whom, of our own rooms. What is missing here is not checked by accident: see the test below.
MAY_IMPORT = {
    "src": {"searchsync"},
    "services": {"searchsync", "search_api"},
    "lambdas": {"searchsync", "lambdas"},
    "plugins": {"searchsync", "search_ops"},
    "dags": {"searchsync", "search_ops"},
    "local": {"searchsync", "local"},
    "benchmarks": {"searchsync", "search_api", "local", "benchmarks", "tests"},  # the consistency suite, too
}
OURS = {"searchsync", "search_api", "search_ops", "dags", "lambdas", "local", "benchmarks", "tests"}

# The rooms of the library, from the ground up: each may import those of lower floors, and no other of its own floor.
FLOORS = (
    ("errors",),
    ("aws", "deadline", "mapping", "sampling", "selection"),
    ("checked_yaml",),
    ("heartbeat",),
    ("entity_file",),
    ("catalog",),
    ("config", "documents", "telemetry"),
    ("alarms", "cluster", "sources"),
    ("access", "writing"),
    ("stream",),
    ("compare",),
    ("capacity", "freshness", "operations", "quality"),
    ("canary", "recovery", "slo"),
    ("scaffold",),
    ("connections",),
    ("health", "preflight"),
    ("readiness",),
    ("cli",),
)

# Modules that talk to servers. A DAG file and what it imports are parsed again and again: they load none of these.
CLIENTS = {"opensearchpy", "psycopg", "boto3", "botocore", "requests", "urllib3", "httpx"}


def imports(path: Path, *, top_level: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a file imports; only what runs when it is imported, if so asked."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: write the import in full"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if top_level and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        nodes += ast.iter_child_nodes(node)


def files(room: str) -> list[Path]:
    found = sorted((REPO / room).rglob("*.py"))
    assert found or not (REPO / room).is_dir(), f"{room}/ has no Python file: remove the empty folder"
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_dependencies_point_one_way(room: str) -> None:
    """Dags -> plugins -> searchsync; lambdas, local -> searchsync: never back, never sideways."""
    wrong = [
        f"{path.relative_to(REPO)}:{line} imports {name}"
        for path in files(room)
        for line, name in imports(path)
        if name.split(".")[0] in OURS - MAY_IMPORT[room]
    ]
    assert not wrong, f"{room} may import {sorted(MAY_IMPORT[room])} of our own: {wrong}"


def test_rooms_of_the_library_stand_on_lower_floors_only() -> None:
    """Whoever reads a room has to know those below it, and none above."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    library = REPO / "src" / "searchsync"
    assert {path.stem for path in library.iterdir() if path.name not in ("__init__.py", "__pycache__")} == floor.keys()
    wrong = [
        f"{path.relative_to(REPO)}:{line} imports {name}"
        for room in floor
        for path in ([library / f"{room}.py"] if (library / f"{room}.py").exists() else (library / room).rglob("*.py"))
        for line, name in imports(path)
        if name.startswith("searchsync.")
        if (other := name.split(".")[1]) != room and floor[other] >= floor[room]
    ]
    assert not wrong, wrong


def test_the_search_api_reads_entities_and_nothing_else_of_the_library() -> None:
    """It searches: what writes, reindexes or repairs has no place in a service that everybody can reach."""
    may = {room for rooms in FLOORS[: FLOORS.index(("catalog",)) + 1] for room in rooms}
    wrong = [
        f"{path.relative_to(REPO)}:{line} imports {name}"
        for path in files("services")
        for line, name in imports(path)
        if name.startswith("searchsync.") and name.split(".")[1] not in may
    ]
    assert not wrong, f"the search API may import {sorted(may)} of searchsync: {wrong}"


@pytest.mark.parametrize("room", ["src", "plugins", "services"])
def test_no_two_files_import_each_other(room: str) -> None:
    """Not over others either: neither could be understood, moved or tested without the other."""
    modules = {module_of(path, room): path for path in files(room)}
    needs = {
        module: {other for _, name in imports(path) for other in (name, name.rpartition(".")[0]) if other in modules}
        for module, path in modules.items()
    }
    while free := [module for module, needed in needs.items() if not needed & needs.keys()]:
        for module in free:
            del needs[module]
    assert not needs, f"a circle of imports: {sorted(needs)}"


def module_of(path: Path, room: str) -> str:
    parts = path.relative_to(REPO / room).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("room", ["src", "lambdas", "services"])
def test_library_runs_without_airflow(room: str) -> None:
    wrong = [
        f"{path.relative_to(REPO)}:{line}"
        for path in files(room)
        for line, name in imports(path)
        if name.split(".")[0] == "airflow"
    ]
    assert not wrong, (
        f"searchsync also runs from a shell, in a Lambda and in a service: move what needs Airflow to plugins/: {wrong}"
    )


@pytest.mark.parametrize("room", ["dags", "plugins"])
def test_no_network_client_is_imported_when_a_dag_is_parsed(room: str) -> None:
    heavy = CLIENTS | {
        "searchsync.cluster.client",
        "searchsync.connections",
        "searchsync.operations.reindex",
        "searchsync.writing.writer",
        "searchsync.sources",
    }
    wrong = [
        f"{path.relative_to(REPO)}:{line} imports {name}"
        for path in files(room)
        for line, name in imports(path, top_level=True)
        if any(f"{name}.".startswith(f"{module}.") for module in heavy)
    ]
    assert not wrong, f"import it inside the task: each parse of a DAG pays for it: {wrong}"


def test_only_the_writer_writes_documents() -> None:
    """Rules 1 to 3 hold because there is one writing path: every other bulk, update or delete would go around them.

    Only the purge of tombstones (rule 12) has a bulk of its own, of compare-and-delete.
    """
    may, wire = ("writer.py", "bulk.py", "purge.py", "client.py"), REPO / "src/searchsync/cluster/client.py"
    forbidden = ("_bulk", "_update", "_update_by_query", "_delete_by_query", "_create", "_reindex")
    wrong = []
    for path in files("src") + files("plugins") + files("dags") + files("lambdas"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path != wire:
                wrong += [
                    f"{path.relative_to(REPO)}:{node.lineno} {word}" for word in forbidden if f"/{word}" in node.value
                ]
            if isinstance(node, ast.Name) and node.id == "bulk" and path.name not in may:
                wrong.append(f"{path.relative_to(REPO)}:{node.lineno} bulk")
    assert not wrong, wrong


def test_every_room_is_checked() -> None:
    rooms = {
        path.name
        for path in REPO.iterdir()
        if path.is_dir() and not path.name.startswith(".") and [*path.rglob("*.py")]
    }
    assert rooms <= {*MAY_IMPORT, "tests"}, "a new folder with Python in it: say in this test what it may import"


@pytest.mark.parametrize(
    "command",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)],
    ids=["lint", "format", "types"],
)
def test_gate(command: tuple[str, ...]) -> None:
    folders = [folder for folder in CHECKED if command[0] != "mypy" or folder != "dags"]
    result = subprocess.run(
        [sys.executable, "-m", *command, *folders], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{' '.join([*command, *folders])}\n{result.stdout[-6000:]}{result.stderr[-2000:]}"
