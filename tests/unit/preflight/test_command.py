"""`searchsync preflight` with what cannot be looked at: one line, and nothing is looked at."""

import os
from pathlib import Path

import pytest

from searchsync.cli import main


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell that is set up for no account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ("qa", "BadParams: there is no environment 'qa': infra/environments.yaml has dev, production, staging"),
        ("dev", "BadConnection: STS: Unable to locate credentials. Set the credentials"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    nobody: None, capsys: pytest.CaptureFixture[str], environment: str, said: str
) -> None:
    assert main.main(["preflight", "--environment", environment]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = [line for line in shown.err.splitlines() if line.startswith("searchsync: ")]
    assert said in line
