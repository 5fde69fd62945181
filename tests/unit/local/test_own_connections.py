"""A person's own connections reach Airflow and shells as they are written, and never replace those of the stack."""

from pathlib import Path

import pytest

from local import own_connections
from local.errors import LocalError


def test_lines_are_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "connections.env"
    assert own_connections.read(path) == {}
    path.write_text(
        '# my shop\n\nSHOP_DSN=postgresql://a:b#c@host/shop?x=1\n  AIRFLOW_CONN_SHOP=\'{"conn_type": "postgres"}\'\n',
        encoding="utf-8",
    )
    assert own_connections.read(path) == {
        "SHOP_DSN": "postgresql://a:b#c@host/shop?x=1",
        "AIRFLOW_CONN_SHOP": '{"conn_type": "postgres"}',
    }


@pytest.mark.parametrize("line", ["shop_dsn=x", "export SHOP_DSN=x", "SHOP_DSN x"])
def test_a_wrong_line_is_named_without_its_secret(tmp_path: Path, line: str) -> None:
    path = tmp_path / "connections.env"
    path.write_text(f"A=1\n{line}secret\n", encoding="utf-8")
    with pytest.raises(LocalError, match=r"connections\.env:2: a line is NAME=value") as refused:
        own_connections.read(path)
    assert "secret" not in str(refused.value)


def test_the_stacks_own_connection_cannot_be_replaced(tmp_path: Path) -> None:
    """Its DAGs would write the data of another database into the local indexes, without a word."""
    path = tmp_path / "connections.env"
    path.write_text("SEARCHSYNC_POSTGRES_DSN=postgresql://elsewhere/app\nSHOP_DSN=x\n", encoding="utf-8")
    with pytest.raises(LocalError, match=r"SEARCHSYNC_POSTGRES_DSN is set by \./dev itself"):
        own_connections.beside({"SEARCHSYNC_POSTGRES_DSN": "y"}, path)
    assert own_connections.beside({"ANOTHER": "y"}, path)["SHOP_DSN"] == "x"
