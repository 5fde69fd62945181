"""A damaged or half-downloaded archive never reaches the class path."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from local import jars
from local.errors import LocalError
from local.jars import Jar

GOOD = {"org.example:one:1.0": b"one", "org.example:two:2.0:linux-x86_64": b"two"}
LISTED = [Jar(coordinate, hashlib.sha256(content).hexdigest()) for coordinate, content in GOOD.items()]


class Repository:
    """Stands in for the Maven repository: serves `content`, counts requests."""

    def __init__(self) -> None:
        self.content = dict(GOOD)
        self.requests: list[str] = []

    def download(self, folder: Path) -> Callable[[str], Path]:
        def resolve(coordinate: str) -> Path:
            self.requests.append(coordinate)
            path = folder / f"{len(self.requests)}.part"
            path.write_bytes(self.content[coordinate])
            return path

        return resolve


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository()
    (tmp_path / "repository").mkdir()
    monkeypatch.setattr(jars, "listed", lambda: LISTED)
    resolve = repository.download(tmp_path / "repository")
    monkeypatch.setattr(jars, "_download", lambda coordinate, _scratch: resolve(coordinate))
    return repository


def test_the_committed_list_is_sound() -> None:
    listed = jars.listed()
    assert len(listed) > 100
    assert len({jar.filename() for jar in listed}) == len(listed)
    assert all(len(jar.sha256) == 64 for jar in listed)
    assert set(jars.ENDPOINTS) <= {jar.coordinate for jar in listed}


def test_missing_and_damaged_archives_are_fetched_and_good_ones_are_not(tmp_path: Path, repository: Repository) -> None:
    folder = tmp_path / "jars"
    assert [path.name for path in jars.classpath(folder)] == ["one-1.0.jar", "two-2.0-linux-x86_64.jar"]
    assert sorted(repository.requests) == sorted(GOOD)
    jars.classpath(folder)
    assert len(repository.requests) == 2
    (folder / "one-1.0.jar").write_bytes(b"on")
    assert jars.classpath(folder)[0].read_bytes() == b"one"
    assert repository.requests[2:] == ["org.example:one:1.0"]


def test_an_archive_that_is_not_what_the_list_says_is_refused(tmp_path: Path, repository: Repository) -> None:
    repository.content["org.example:one:1.0"] = b"something else"
    with pytest.raises(LocalError, match=r"org\.example:one:1\.0 .* SHA-256"):
        jars.classpath(tmp_path / "jars")
    assert not (tmp_path / "jars" / "one-1.0.jar").exists()
