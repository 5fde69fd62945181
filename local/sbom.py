"""What is in each image and in the function: a CycloneDX document of each, made from the lock that it is built from.

`python -m local.sbom FOLDER` writes them. A lock has packages of every platform and Python; a document has those of the
one that is deployed.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import Requirement

from local.environment import TOOLS, ensure
from local.paths import ROOT
from local.stream_function import SETTINGS

_LINUX: Final = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
_IMAGE: Final = {**_LINUX, "python_version": "3.11", "python_full_version": "3.11.15", "platform_machine": "x86_64"}
_FUNCTION_PYTHON: Final[str] = SETTINGS["function"]["runtime"].removeprefix("python")


@dataclass(frozen=True, slots=True)
class Built:
    """Something that is deployed.

    :param lock: from which its packages are installed.
    :param platform: where, by the names of packages' markers.
    """

    lock: str
    platform: Mapping[str, str]


BUILT: Final = {
    "airflow": Built("requirements.txt", _IMAGE),
    "search-api": Built("services/search_api/requirements.txt", _IMAGE),
    "stream-function": Built(
        "lambdas/stream/requirements.txt",
        {
            **_LINUX,
            "python_version": _FUNCTION_PYTHON,
            "python_full_version": f"{_FUNCTION_PYTHON}.0",
            "platform_machine": "aarch64",
        },
    ),
}


def write(folder: Path) -> list[Path]:
    """Write the documents into a folder. Return them."""
    tool = ensure(TOOLS) / "cyclonedx-py"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, built in BUILT.items():
        target = folder / f"{name}.cdx.json"
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as lock:
            lock.write("".join(installed(built)))
            lock.flush()
            options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "-o", str(target)]
            command = [str(tool), "requirements", *options, lock.name]
            subprocess.run(command, env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=True)
        written.append(target)
    return written


def installed(built: Built) -> list[str]:
    """Return the entries of a lock that are installed where it is deployed, each with its hashes."""
    environment = {name: str(value) for name, value in default_environment().items()} | dict(built.platform)
    text = (ROOT / built.lock).read_text(encoding="utf-8")
    entries = []
    for entry in re.findall(r"^[a-zA-Z0-9].*\n(?: {4}--hash=.*\n)+", text, re.MULTILINE):
        requirement = Requirement(entry.partition("\\")[0])
        if requirement.marker is None or requirement.marker.evaluate(environment):
            entries.append(entry)
    return entries


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        print(path)
