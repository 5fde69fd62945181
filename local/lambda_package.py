"""The deployment packages of an entity's function: locked dependencies, our library, the handler, the entity's files.

The same checkout makes the same bytes on every machine. What is installed comes from wheels that the lock names by
hash; what varies is left out (the installer's notes, scripts with the path of a Python in them, bytecode), and the
archive is not compressed, because zlib's output is another in another build of it.

`python -m local.lambda_package` writes the lock anew.
"""

import ast
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from local.errors import LocalError
from local.paths import LOCAL, ROOT
from local.stream_function import FOLDER, SETTINGS, name_of
from searchsync import entity_file
from searchsync.catalog import Entity, include_dir

PACKAGES = LOCAL / "packages"
TOKEN_CUSTOMISATION = "token-customisation"
"""The function of the user pool. No entity has a hyphen in its name."""

UNZIPPED_LIMIT = 262_144_000
"""Bytes that Lambda takes."""

_LOCK = "requirements.txt"
_COMPILE = [
    *("pip", "compile", "-q", "--universal", "--generate-hashes", "--python-version", "3.11", "--no-header"),
    *("--excludes", "excludes.txt", "requirements.in"),
]
_ARCHITECTURES = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
"""As Lambda names them, and whose wheels they take: Amazon Linux 2023 has glibc 2.34."""

_VARYING = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"}


@dataclass(frozen=True, slots=True)
class Package:
    """One archive, ready for upload.

    :param unzipped: bytes of all its files.
    :param sha256: of the archive, in hexadecimal.
    """

    path: Path
    unzipped: int
    sha256: str


def build(entity: Entity, folder: Path = PACKAGES, source: Path = FOLDER) -> list[Package]:
    """Write the archives of an entity's function, one for each architecture.

    :param source: the folder of the handler and its lock.
    :raises LocalError: when the lock is not that of `requirements.in`, packages cannot be had, or Lambda would refuse
        the archive for its size.
    """
    _check(source)
    folder.mkdir(parents=True, exist_ok=True)
    packages = []
    for architecture, platform in _ARCHITECTURES.items():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
            content = Path(scratch) / "content"
            _uv(
                source,
                *("pip", "install", "-q", "--target", str(content), "--no-deps", "--require-hashes"),
                *("--only-binary", ":all:", "--python-platform", platform),
                *("--python-version", SETTINGS["function"]["runtime"].removeprefix("python"), "-r", _LOCK),
            )
            shutil.copytree(ROOT / "src" / "searchsync", content / "searchsync")
            _pack_files(entity, content)
            shutil.copy(source / "handler.py", content)
            packages.append(_archive(content, folder / f"{name_of(entity)}-{architecture}.zip"))
    return packages


def build_token_customisation(folder: Path = PACKAGES) -> Package:
    """Write the archive of the function that adds the tenant to tokens: its one file, for each architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
        content = Path(scratch) / "content"
        content.mkdir()
        shutil.copy(ROOT / "lambdas" / "token_customisation" / "handler.py", content)
        return _archive(content, folder / f"{TOKEN_CUSTOMISATION}.zip")


def _pack_files(entity: Entity, content: Path) -> None:
    """Write what the function reads of the entity, where `include_dir` looks for it.

    The entity's file becomes JSON: it is checked now, and the function needs no parser of YAML.
    """
    folder = content / "searchsync" / "include"
    entities, mappings, transforms = folder / "entities", folder / "mappings", folder / "transforms"
    for one in (entities, mappings, transforms):
        one.mkdir(parents=True)
    described = entity_file.read(include_dir() / "entities" / f"{entity.name}.yaml")
    (entities / f"{entity.name}.json").write_text(json.dumps(described, sort_keys=True), encoding="utf-8")
    for name in (entity.name, "searchsync-gaps"):  # and of the notes that an index misses something
        shutil.copy(include_dir() / "mappings" / f"{name}.json", mappings)
    if python := described.get("transform", {}).get("python"):
        _check_imports(include_dir() / "transforms" / python, content)
        shutil.copy(include_dir() / "transforms" / python, transforms)


def _check_imports(path: Path, content: Path) -> None:
    """Refuse a transformation that imports what its function will not have.

    :raises LocalError: when it does, or cannot be read; the message names the line
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise LocalError(f"{path} cannot be packed: {error}") from None
    there = {*sys.stdlib_module_names, *(one.name.removesuffix(".py") for one in content.iterdir())}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [one.name for one in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}"]
        if missing := [name for name in names if name.split(".")[0] not in there]:
            raise LocalError(
                f"{path}:{node.lineno}: the function's package has no {missing[0]}. A transformation may import the "
                "standard library, and what the function's requirements bring"
            )


def _check(source: Path) -> None:
    """Resolve again: uv keeps the versions and hashes of a lock that still fits."""
    lock = source / _LOCK
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / _LOCK
        shutil.copy(lock, fresh)
        _uv(source, *_COMPILE, "-o", str(fresh))
        if fresh.read_bytes() != lock.read_bytes():
            raise LocalError(
                f"{lock} does not match requirements.in and what that refers to: look at what changes, with "
                "`.local/venv/bin/python -m local.lambda_package`"
            )


def _uv(folder: Path, *arguments: str) -> None:
    environment = dict(os.environ)
    if index := environment.get("PIP_INDEX_URL"):  # uv does not read pip's variables
        environment.setdefault("UV_DEFAULT_INDEX", index)
    command = [sys.executable, "-m", "uv", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        said = " ".join(result.stderr.split())[-600:]
        raise LocalError(
            f"`uv {' '.join(arguments[:2])}` failed for {folder.name}: check its requirements, the network and the "
            f"package index ({said})"
        )


def _archive(content: Path, target: Path) -> Package:
    files = dict(sorted((path.relative_to(content).as_posix(), path) for path in _kept(content)))
    unzipped = sum(path.stat().st_size for path in files.values())
    if unzipped > UNZIPPED_LIMIT:
        raise LocalError(
            f"{target.name} would have {unzipped:,} bytes unzipped, and Lambda takes {UNZIPPED_LIMIT:,}: exclude what "
            "the function does not import"
        )
    written = content.with_name(target.name)
    with ZipFile(written, "w") as archive:
        for name, path in files.items():
            entry = ZipInfo(name)  # of 1980, not compressed
            entry.create_system = 3  # the one whose permissions count
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, path.read_bytes())
    written.replace(target)
    with target.open("rb") as file:
        return Package(target, unzipped, hashlib.file_digest(file, "sha256").hexdigest())


def _kept(content: Path) -> Iterator[Path]:
    for path in content.rglob("*"):
        parts = path.relative_to(content).parts
        noise = parts[0] in ("bin", ".lock") or "__pycache__" in parts
        installer = parts[0].endswith(".dist-info") and path.name in _VARYING
        if path.is_file() and not noise and not installer:
            yield path


if __name__ == "__main__":
    _uv(FOLDER, *_COMPILE, "-o", _LOCK)
