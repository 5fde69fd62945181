"""An entity whose file was removed: its indexes go on being searched and get no writes, so they must not vanish."""

import pytest

from searchsync.catalog import Entity
from searchsync.cli import main
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import without_entity
from tests.steps import make_index

INDEX = "shops-20260101t000000-0123abcd"


@pytest.fixture
def shops(client: Client, locations: Entity, shell: None) -> str:
    """The live index of an entity that has no file, beside one that has."""
    make_index(client, locations)
    body = {"mappings": {"_meta": {"entity": "shops"}}, "aliases": {"shops": {}, "shops-writers": {}}}
    client.request("PUT", f"/{INDEX}", body=body)
    client.request("PUT", "/shops-of-others", body={"mappings": {"_meta": {"entity": "shops"}}})
    return INDEX


def test_its_indexes_are_found_and_those_of_others_are_not(client: Client, shops: str) -> None:
    assert without_entity(client) == {"shops": [shops]}


def test_a_listing_and_a_retirement_say_what_to_do(shops: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["indexes"], ["retire", "--dry-run"]):
        assert main.main(command) == 0
        assert f"delete them: DELETE /{shops}" in capsys.readouterr().err
    assert main.main(["indexes", "--check"]) == 1
    assert "it has no file" in capsys.readouterr().err
    assert main.main(["indexes", "locations"]) == 0
    assert shops not in capsys.readouterr().err, "it was not asked for"
