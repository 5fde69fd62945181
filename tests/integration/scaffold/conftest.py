"""Commands in processes of their own, as a shell runs them: each reads the entity files anew."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres as local_postgres
from searchsync import catalog
from searchsync.catalog import Entity

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def searchsync(shell: None, include: Path, tmp_path: Path) -> Command:
    """Runs a command on the session's servers, with a copy of ``include/``. It has to succeed unless told otherwise."""

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "searchsync.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ.copy(), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == int(fails), done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def shop(app: local_postgres.AppDatabase) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection, with an empty schema ``shop`` that the reader may use."""
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO PUBLIC")
        owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC")
        yield owner
        owner.execute("DROP SCHEMA shop CASCADE")


def made(name: str) -> Entity:
    """The entity of the files that ``entity new`` wrote."""
    found, bad = catalog._load()
    assert bad == {}
    return found[name]
