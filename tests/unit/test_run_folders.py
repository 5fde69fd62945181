"""The folders of runs: with a look every five minutes, nobody deletes them by hand."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from searchsync.operations.evidence import FolderStays, delete_old

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def folder(root: Path, name: str, *, days: float) -> Path:
    made = root / name
    made.mkdir(parents=True)
    (made / "summary.html").write_text("seen")
    for path in (made / "summary.html", made):
        age(path, days)
    return made


def age(path: Path, days: float) -> None:
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


def test_old_folders_go_and_the_newest_of_each_dag_stays(tmp_path: Path) -> None:
    for name, days in {"a/1": 200, "a/2": 91, "a/3": 89, "b/1": 300, "b/2": 200}.items():
        folder(tmp_path, name, days=days)
    assert delete_old(tmp_path, now=NOW, dry_run=True) == ["a/1", "a/2", "b/1"]
    assert (tmp_path / "a/1/summary.html").exists()
    assert delete_old(tmp_path, now=NOW) == ["a/1", "a/2", "b/1"]
    assert {f"{path.parent.name}/{path.name}" for path in tmp_path.glob("*/*")} == {"a/3", "b/2"}
    assert delete_old(tmp_path, now=NOW) == []


def test_a_run_that_still_writes_is_not_old(tmp_path: Path) -> None:
    """An attempt replaces a file; the folder itself is not touched then."""
    old, _ = folder(tmp_path, "a/1", days=200), folder(tmp_path, "a/2", days=1)
    age(old / "summary.html", 2)
    assert delete_old(tmp_path, now=NOW) == []


def test_what_a_killed_deletion_left_goes_with_the_next(tmp_path: Path) -> None:
    half, _ = folder(tmp_path, "a/1", days=200), folder(tmp_path, "a/2", days=1)
    age(half, 0)
    assert delete_old(tmp_path, now=NOW) == ["a/1"]


def test_a_run_that_has_only_just_begun_keeps_its_folder(tmp_path: Path) -> None:
    """It has no file yet; another one of its DAG has."""
    begun, other = tmp_path / "a/1", folder(tmp_path, "a/2", days=-1)
    begun.mkdir()
    age(begun, 0)
    assert delete_old(tmp_path, now=NOW) == []
    assert begun.exists()
    assert other.exists()


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    elsewhere = folder(tmp_path / "elsewhere", "b/1", days=300)
    reports = tmp_path / "reports"
    folder(reports, "a/2", days=1)
    (reports / "a/1").symlink_to(elsewhere)
    (reports / "b").symlink_to(elsewhere.parent)
    assert delete_old(reports, now=NOW) == []
    assert (elsewhere / "summary.html").exists()


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    assert delete_old(tmp_path / "reports", now=NOW) == []


def test_a_folder_that_cannot_be_deleted_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, days in {"a/1": 300, "a/2": 200, "a/3": 100}.items():
        folder(tmp_path, name, days=days)
    remove = os.rmdir

    def refuse(path: str, **where: int) -> None:
        if str(path).endswith("1"):
            raise PermissionError("not yours")
        remove(path, **where)

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(FolderStays, match="1 folders of old runs stay, 1 were deleted"):
        delete_old(tmp_path, now=NOW)
    assert not (tmp_path / "a/2").exists()
