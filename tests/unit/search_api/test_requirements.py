"""The image installs this lock and nothing else: what it lacks shows when the container starts, somewhere else."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "services" / "search_api"
PINNED = re.compile(r"^([\w.-]+)==([^ \\;]+)(?: ; (.+?))? *\\$", re.MULTILINE)


def versions(lock: Path) -> dict[str, str]:
    """The version of each package of a lock."""
    return {canonicalize_name(found[1]): found[2] for found in PINNED.finditer(lock.read_text(encoding="utf-8"))}


LOCKED = versions(SERVICE / "requirements.txt")
WANTED = [
    Requirement(line) for line in (SERVICE / "requirements.in").read_text(encoding="utf-8").splitlines() if line.strip()
]


def needs(requirement: Requirement) -> Iterator[Requirement]:
    """What a package requires here, with the extras that are asked for."""
    for extra in requirement.extras or {""}:
        for text in distribution(requirement.name).requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                yield needed


def test_the_lock_has_all_that_is_required_and_what_that_requires() -> None:
    """A line that is new in requirements.in would be missing in the image."""
    left, seen, missing = list(WANTED), set(), set()
    while left:
        requirement = left.pop()
        if (key := (requirement.name, frozenset(requirement.extras))) in seen:
            continue
        seen.add(key)
        version = LOCKED.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            missing.add(f"{requirement} (locked: {version})")
        else:
            left += needs(requirement)
    assert not missing, "make services/search_api/requirements.txt again (docs/decisions/005-redis.md)"
    assert len(seen) > len(WANTED), "no package required another: the test reads no metadata"


def test_the_image_has_the_tested_versions() -> None:
    """The tests run with the project's own lock."""
    tested = versions(ROOT / "requirements-dev.txt")
    assert {name: version for name, version in LOCKED.items() if tested.get(name) != version} == {}
    assert len(LOCKED) > len(WANTED)


@cache
def loaded_of_the_library() -> set[Path]:
    """The files of searchsync that the whole service loads."""
    modules = [
        ".".join(["search_api", *path.relative_to(SERVICE).with_suffix("").parts]).removesuffix(".__init__")
        for path in SERVICE.rglob("*.py")
    ]
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules!r}]\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'searchsync'), sep='\\n')\n"
        "assert 'airflow' not in sys.modules, 'the service must not load Airflow'"
    )
    env = {"PYTHONPATH": f"{ROOT / 'services'}:{ROOT / 'src'}", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(line) for line in done.stdout.split("\n") if line}


def imported(path: Path) -> Iterator[str]:
    """The packages that a file imports, inside its functions, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_whatever_is_imported_is_locked() -> None:
    """The tests have more packages than the image: they would not notice."""
    library = loaded_of_the_library()
    assert ROOT / "src" / "searchsync" / "catalog.py" in library
    found = {name: path for path in [*SERVICE.rglob("*.py"), *library] for name in imported(path)}
    distributions = packages_distributions()
    missing = {
        name: str(path.relative_to(ROOT))
        for name, path in found.items()
        if name not in {*sys.stdlib_module_names, "search_api", "searchsync"}
        and not {canonicalize_name(each) for each in distributions.get(name, [])} & LOCKED.keys()
    }
    assert missing == {}


def test_nothing_is_locked_that_nobody_imports() -> None:
    """Each package more is code that can have a hole."""
    files = [*SERVICE.rglob("*.py"), *loaded_of_the_library()]
    distributions = packages_distributions()
    packages = {package for path in files for package in imported(path)}
    used = {str(canonicalize_name(name)) for package in packages for name in distributions.get(package, [])}
    used |= {"hiredis", "httptools", "uvloop"}  # which redis and uvicorn use when they are there
    assert {canonicalize_name(wanted.name) for wanted in WANTED} - used == set()
