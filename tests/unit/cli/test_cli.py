"""What the command line says: its own options, never a DAG's parameters."""

import ast
import re
from pathlib import Path

import pytest

from searchsync.cli import main

SRC = Path(main.__file__).parent


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('accept the loss with {"max_rejected": N}', "accept the loss with --max-rejected N"),
        ('run the reindex with {"new_epoch": true}', "run the reindex with --new-epoch"),
        ('({"index": "members-1", "repair": "on"}) and', "(--index members-1 --repair) and"),
        ('repair with {"cap": 150} or more', "repair with --cap 150 or more"),
        ('PUT {"persistent": {"action.x": "false"}}', 'PUT {"persistent": {"action.x": "false"}}'),
        ("sync is {'deleted': True} now", "sync is {'deleted': True} now"),
    ],
)
def test_parameters_are_named_as_options(said: str, shown: str) -> None:
    assert main.as_options(said) == shown


def test_every_parameter_that_an_error_advises_is_an_option() -> None:
    """Or is advised by what has no command: the sync."""
    options = set(re.findall(r"--([a-z-]+)", "".join(_help())))
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name in re.findall(r'\{"([a-z_]+)": (?:true|N|\{gone)', node.value):
                    assert name == "allow_deletes" or name.replace("_", "-") in options, f"{path}: {name}"


def _help() -> list[str]:
    texts = []
    for action in main._parser()._actions:
        if isinstance(action.choices, dict):
            texts += [command.format_help() for command in action.choices.values()]
    return texts


def test_an_export_for_an_entity_that_is_scanned_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taken for a wish that was heard, it would scan the table all the same."""
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "http://127.0.0.1:1")
    for name in ("locations", "members"):
        assert main.main(["reindex", name, "--export-arn", "arn:aws:dynamodb:eu-west-1:1:table/members/export/1"]) == 1
        assert f"BadParams: {name} is not read from exports" in capsys.readouterr().err
