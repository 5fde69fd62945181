"""A mapping may gain fields: a record that waits in a queue must fit when it is replayed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.deployment import checkout, mappings
from local.errors import LocalError

DEPLOYED: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "name": {"type": "text", "analyzer": "words", "fields": {"exact": {"type": "keyword"}}},
        "place": {"properties": {"city": {"type": "keyword", "ignore_above": 10}}},
    },
}


def changed(**paths: Any) -> dict[str, Any]:
    """The mapping with values put at paths; None takes one away."""
    mapping: dict[str, Any] = json.loads(json.dumps(DEPLOYED))
    for path, value in paths.items():
        *way, last = path.split("__")
        inner = mapping
        for step in way:
            inner = inner.setdefault(step, {})
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return mapping


@pytest.mark.parametrize(
    "wanted",
    [
        DEPLOYED,
        changed(properties__email={"type": "keyword"}),
        changed(properties__place__properties__street={"type": "text"}),
        changed(properties__name__fields__plain={"type": "text"}),
        changed(properties__place__properties__city__fields={"words": {"type": "text"}}),
    ],
)
def test_new_fields_are_let_through(wanted: dict[str, Any]) -> None:
    assert mappings.incompatible(DEPLOYED, wanted) == []


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (changed(properties__name__type="keyword"), 'name.type is "keyword" and was "text"'),
        (changed(properties__name=None), "field name is gone"),
        (changed(properties__name__fields__exact=None), "field name.exact is gone"),
        (changed(properties__name__fields=None), "name.fields is gone"),
        (changed(properties__place__properties__city__ignore_above=5), "place.city.ignore_above is 5 and was 10"),
        (changed(properties__name__null_value="x"), "name.null_value is new"),
        (changed(_routing={"required": True}), "_routing is new"),
        (changed(dynamic="false"), 'dynamic is "false" and was "strict"'),
    ],
)
def test_everything_else_is_told(wanted: dict[str, Any], told: str) -> None:
    assert mappings.incompatible(DEPLOYED, wanted) == [told]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one commit, which is the deployed one."""
    folder = tmp_path / "include" / "mappings"
    folder.mkdir(parents=True)
    (folder / "members.json").write_text(json.dumps({"settings": {"number_of_shards": 1}, "mappings": DEPLOYED}))
    (folder / "members.smoke.json").write_text("[]")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path / "include"))
    return folder


def test_the_files_are_held_against_the_deployed_commit(deployed: Path) -> None:
    commit = checkout.commit()
    mappings.check(commit)
    body = {"settings": {"number_of_shards": 5}, "mappings": changed(properties__email={"type": "keyword"})}
    (deployed / "members.json").write_text(json.dumps(body))
    mappings.check(commit)
    body["mappings"] = changed(properties__name=None)
    (deployed / "members.json").write_text(json.dumps(body))
    with pytest.raises(LocalError, match=r"members\.json: field name is gone\. .* Nothing was changed"):
        mappings.check(commit)
    (deployed / "members.json").unlink()
    with pytest.raises(LocalError, match=r"members\.json is gone"):
        mappings.check(commit)


def test_a_checkout_with_changes_is_not_deployed(deployed: Path) -> None:
    (deployed / "new.json").write_text("{}")
    with pytest.raises(LocalError, match=r"changes that no commit has \(include/mappings/new\.json\)"):
        checkout.commit()


def test_an_older_commit_is_lent_and_given_back(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "LOCAL", tmp_path / ".local")
    commit = checkout.commit()
    (deployed / "members.json").write_text("changed")
    with checkout.at(commit) as folder:
        assert json.loads((folder / "include/mappings/members.json").read_text())["mappings"] == DEPLOYED
    assert not folder.exists()
    with pytest.raises(LocalError, match="No plan was applied"), checkout.at("0" * 40):
        pass


def test_every_function_is_packed_for_the_processor_that_it_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entities = tmp_path / "include" / "entities"
    entities.mkdir(parents=True)
    for name, source in {"orders": "dynamodb", "places": "postgres"}.items():
        (entities / f"{name}.yaml").write_text(f"source: {source}\n")
    both = "  package  a b/o-x86_64.zip\n  size  1\n  package  a b/o-arm64.zip\n  size  2\n"
    answers = {"orders": both, "token-customisation": "  package  t.zip\n"}
    seen: list[tuple[Path, dict[str, str]]] = []

    def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
        seen.append((folder, environment))
        return answers[command[-1]]

    monkeypatch.setattr(checkout, "_run", run)
    assert checkout.packages(tmp_path) == {"orders": "a b/o-arm64.zip", "token-customisation": "t.zip"}
    assert seen == [(tmp_path, {"PYTHONPATH": str(tmp_path / "src")})] * 2, "by the code of that checkout"
