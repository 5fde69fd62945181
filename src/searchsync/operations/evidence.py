"""Delete the folders of old runs: what a run showed to people then, of which Airflow may not know any more."""

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from searchsync.config import retention
from searchsync.errors import SearchSyncError

log = logging.getLogger(__name__)


class FolderStays(SearchSyncError):
    """The folder of an old run cannot be deleted."""


def delete_old(root: Path, *, dry_run: bool = False, now: datetime | None = None) -> list[str]:
    """Delete the folders of runs that wrote nothing for ``evidence_days``; the newest of each DAG stays.

    :param root: with a folder for each DAG, and in it one for each run
    :param dry_run: change nothing
    :param now: the present moment, for tests
    :returns: ``<dag id>/<run id>`` of those that were deleted, or would be
    :raises FolderStays: when one cannot be deleted, after all others
    """
    before = (now or datetime.now(UTC)) - timedelta(days=retention().evidence_days)
    gone, problems = [], []
    for run in _old(root, before.timestamp()):
        name = f"{run.parent.name}/{run.name}"
        try:
            if not dry_run:
                shutil.rmtree(run)
        except OSError as error:
            problems.append(f"{name}: {error}")
        else:
            gone.append(name)
    log.info("%d folders of runs %s", len(gone), "to delete" if dry_run else "deleted")
    if problems:
        raise FolderStays(
            f"{len(problems)} folders of old runs stay, {len(gone)} were deleted. The first: {problems[0]}. Let the "
            "user of the workers delete there; the next run tries again"
        )
    return gone


def _old(root: Path, before: float) -> Iterator[Path]:
    """Yield the folders in which nothing was written since then, but for the newest of each DAG."""
    for dag in _folders(root):
        by_age = sorted((_written(run), run) for run in _folders(dag))
        yield from (run for written, run in by_age[:-1] if written < before)


def _folders(parent: Path) -> list[Path]:
    """A link may lead anywhere, so none is followed."""
    return [path for path in sorted(parent.glob("*")) if path.is_dir() and not path.is_symlink()]


def _written(run: Path) -> float:
    """When the newest file of a run was written; while there is none, when the folder was made.

    What a killed deletion left is as old as its files, although the folder was changed a moment ago.
    """
    return max((path.lstat().st_mtime for path in run.iterdir()), default=run.lstat().st_mtime)
