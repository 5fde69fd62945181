"""Entity files: a wrong one is named by file, line and allowed values, and holds up no other entity."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from searchsync import catalog, config, entity_file
from searchsync.catalog import CATALOG, Entity, entity
from searchsync.cli import main
from searchsync.errors import BadEntity, BadMapping

REPO = Path(__file__).parents[2]
ENTITIES = REPO / "include" / "entities"
MEMBERS = (ENTITIES / "members.yaml").read_text(encoding="utf-8")
UNMEASURED = MEMBERS.partition("heartbeat:")[0]
LOCATIONS = (ENTITIES / "locations.yaml").read_text(encoding="utf-8")

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes an entity file into an include folder that has only the schema."""
    folder = tmp_path / "include" / "entities"
    folder.mkdir(parents=True)
    shutil.copy(ENTITIES / entity_file.SCHEMA, folder)
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(folder.parent))

    def call(name: str, text: str) -> Path:
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return call


def changed(text: str, before: str, after: str) -> str:
    assert before in text
    return text.replace(before, after, 1)


_AFTER_MEMBERS = MEMBERS.count("\n") + 1
_AFTER_LOCATIONS = LOCATIONS.count("\n") + 1

WRONG = {
    "another source": (
        changed(MEMBERS, "dynamodb\n", "mysql\n"),
        3,
        "source must be postgres or dynamodb, not 'mysql'",
    ),
    "no source": (changed(MEMBERS, "source: dynamodb\n", ""), 3, "the file lacks source"),
    "unknown key": (
        f"{MEMBERS}colour: red\n",
        _AFTER_MEMBERS,
        "colour is no key; the keys are source, connection, sql",
    ),
    "unknown schedule": (
        changed(MEMBERS, "replay:", "replays:"),
        13,
        "replays is no key of schedules; the keys are reindex",
    ),
    "key twice": (f"{MEMBERS}table: others\n", _AFTER_MEMBERS, "table stands here a second time"),
    "key as text": (changed(MEMBERS, "[member_id]", "member_id"), 6, "key must be a list, not 'member_id'"),
    "key in three parts": (changed(MEMBERS, "[member_id]", "[a, b, c]"), 6, "key has 3 parts, and 2 is the most"),
    "type of a key": (f"{MEMBERS}key_types: [M]\n", _AFTER_MEMBERS, "key_types.0 must be S or N or B, not 'M'"),
    "key types of PostgreSQL": (
        f"{LOCATIONS}key_types: [S]\n",
        _AFTER_LOCATIONS,
        "key_types has no meaning for the source postgres",
    ),
    "changed of DynamoDB": (
        f"{MEMBERS}changed: x\n",
        _AFTER_MEMBERS,
        "changed has no meaning for the source dynamodb: leave it out",
    ),
    "sync of DynamoDB": (
        changed(MEMBERS, "replay:", "sync:"),
        13,
        "schedules.sync has no meaning for the source dynamodb",
    ),
    "expires of PostgreSQL": (
        f"{LOCATIONS}expires: x\n",
        _AFTER_LOCATIONS,
        "expires has no meaning for the source postgres: leave it",
    ),
    "select of PostgreSQL": (
        f"{LOCATIONS}select: {{attribute: a, equals: b}}\n",
        _AFTER_LOCATIONS,
        "select has no meaning for the source postgres",
    ),
    "select without a value": (
        f"{MEMBERS}select: {{attribute: a}}\n",
        _AFTER_MEMBERS,
        "select needs attribute and one of equals",
    ),
    "select by two values": (
        f"{MEMBERS}select: {{attribute: a, equals: b, prefix: c}}\n",
        _AFTER_MEMBERS,
        "select needs attribute and one of equals",
    ),
    "select everything": (
        f'{MEMBERS}select: {{attribute: a, prefix: ""}}\n',
        _AFTER_MEMBERS,
        "select.prefix must not be empty",
    ),
    "hourly": (changed(MEMBERS, "0 3 * * 0", "hourly"), 11, "schedules.reindex must be five fields of cron"),
    "negative hours": (changed(MEMBERS, "hours: 192", "hours: -1"), 15, "freshness.hours must be 0 or more, not -1"),
    "no hours": (changed(MEMBERS, "hours: 192", "parked: 1"), 14, "freshness lacks hours"),
    "unmapped": (
        changed(MEMBERS, "unmapped: drop", "unmapped: keep"),
        9,
        "unmapped must be drop or refuse, not 'keep'",
    ),
    "read from a backup": (
        f"{MEMBERS}read_from: backup\n",
        _AFTER_MEMBERS,
        "read_from must be scan or export, not 'backup'",
    ),
    "an export of PostgreSQL": (
        f"{LOCATIONS}read_from: export\n",
        _AFTER_LOCATIONS,
        "read_from has no meaning for the source postgres: leave it out",
    ),
    "half a number": (
        f"{MEMBERS}thresholds: {{rejected: 0.5}}\n",
        _AFTER_MEMBERS,
        "thresholds.rejected must be a whole number, not 0.5",
    ),
    "a transformation of PostgreSQL": (
        f"{LOCATIONS}transform: {{version: 1, drop: [x]}}\n",
        _AFTER_LOCATIONS,
        "transform has no meaning for the source postgres",
    ),
    "a transformation without version": (
        f"{MEMBERS}transform: {{drop: [x]}}\n",
        _AFTER_MEMBERS,
        "transform lacks version",
    ),
    "version 0": (
        f"{MEMBERS}transform:\n  version: 0\n  drop: [x]\n",
        _AFTER_MEMBERS + 1,
        "transform.version must be 1 or more, not 0",
    ),
    "another part": (
        f"{MEMBERS}transform: {{version: 1, lower: [x]}}\n",
        _AFTER_MEMBERS,
        "lower is no key of transform; the keys are version, take, rename, drop, constant, python",
    ),
    "a path with a gap": (
        f"{MEMBERS}transform:\n  version: 1\n  take:\n    city: address..city\n",
        _AFTER_MEMBERS + 3,
        "transform.take.city must be names with dots between them, not 'address..city'",
    ),
    "drop as text": (
        f"{MEMBERS}transform: {{version: 1, drop: x}}\n",
        _AFTER_MEMBERS,
        "transform.drop must be a list, not 'x'",
    ),
    "a constant object": (
        f"{MEMBERS}transform: {{version: 1, constant: {{a: {{b: c}}}}}}\n",
        _AFTER_MEMBERS,
        "transform.constant.a must be a text or a number or true or false or a list, not",
    ),
    "a constant date": (
        f"{MEMBERS}transform: {{version: 1, constant: {{a: 2026-01-01}}}}\n",
        _AFTER_MEMBERS,
        "transform.constant.a must be a text or",
    ),
    "a constant null": (
        f"{MEMBERS}transform: {{version: 1, constant: {{a: }}}}\n",
        _AFTER_MEMBERS,
        "transform.constant.a must be",
    ),
    "Python elsewhere": (
        f"{MEMBERS}transform: {{version: 1, python: ../x.py}}\n",
        _AFTER_MEMBERS,
        "transform.python must be a file in include/transforms",
    ),
    "a name that YAML takes for true": (
        f"{MEMBERS}transform:\n  version: 1\n  rename:\n    on: off\n",
        _AFTER_MEMBERS + 2,
        "transform.rename.True must be a text, not False",
    ),
    "a number as name": (
        f"{MEMBERS}transform:\n  version: 1\n  take:\n    5: a\n",
        _AFTER_MEMBERS + 2,
        "transform.take: the name 5 must be a text: write it in quotes",
    ),
    "a field that is written twice": (
        f"{MEMBERS}transform:\n  version: 1\n  take: {{a: b.c}}\n  rename:\n    d: a\n",
        _AFTER_MEMBERS + 4,
        "transform.rename: transform.take has a already: of two, one would be lost",
    ),
    "what is made and dropped": (
        f"{MEMBERS}transform:\n  version: 1\n  drop:\n  - b\n  - a\n  constant: {{a: 1}}\n",
        _AFTER_MEMBERS + 4,
        "transform.drop: transform.constant has a already",
    ),
    "the time to live": (
        f"{MEMBERS}transform:\n  version: 1\n  rename: {{expires_at: until}}\n",
        _AFTER_MEMBERS + 2,
        "transform.rename: expires_at is the time to live, and stays as it is stored",
    ),
    "a path for a file": (f"{LOCATIONS}sql: ../x.sql\n", _AFTER_LOCATIONS, "sql must be "),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_named_with_its_line_and_what_may_stand_there(write: Write, what: str) -> None:
    text, line, problem = WRONG[what]
    path = write("members", text)
    with pytest.raises(BadEntity) as caught:
        entity_file.read(path)
    assert str(caught.value).startswith(f"{path}:{line}: {problem}")


def test_all_that_is_wrong_is_said_at_once(write: Write) -> None:
    path = write("members", changed(f"{MEMBERS}colour: red\n", "dynamodb\n", "mysql\n"))
    with pytest.raises(BadEntity, match=rf"members\.yaml:3: .*members\.yaml:{_AFTER_MEMBERS}: "):
        entity_file.read(path)


def test_what_two_rules_find_is_said_once(write: Write) -> None:
    with pytest.raises(BadEntity) as caught:
        entity_file.read(write("members", "source: dynamodb\n"))
    assert str(caught.value).count("the file lacks freshness, key") == 1


@pytest.mark.parametrize("text", ["", "- a list\n", "source: [", "just text"])
def test_what_is_no_mapping_is_no_entity(write: Write, text: str) -> None:
    with pytest.raises(BadEntity, match="members"):
        entity_file.read(write("members", text))


def test_the_schema_is_one_and_describes_each_key_for_editors() -> None:
    schema = json.loads((ENTITIES / entity_file.SCHEMA).read_text())
    Draft202012Validator.check_schema(schema)
    assert [name for name, key in schema["properties"].items() if "description" not in key] == []
    assert set(schema["properties"]["thresholds"]["properties"]) == set(config.Thresholds.__annotations__)
    assert set(schema["properties"]["freshness"]["properties"]) == set(config.Freshness.__annotations__)


def test_a_wrong_file_holds_up_no_other_entity(write: Write) -> None:
    write("members", f"{MEMBERS}colour: red\n")
    write("locations", LOCATIONS)
    found, bad = catalog._load()
    assert (list(found), list(bad)) == (["locations"], ["members"])


def test_airflow_says_which_file_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The DAGs of the other entities are there: this file alone cannot be imported."""

    def load() -> Any:
        spec = importlib.util.spec_from_file_location("entities", REPO / "dags" / "entities.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    load()
    monkeypatch.setitem(catalog.BAD_ENTITIES, "shops", BadEntity("shops.yaml:1: it is wrong"))
    with pytest.raises(ImportError, match=r"shops\.yaml:1"):
        load()
    with pytest.raises(BadEntity, match="it is wrong"):
        entity("shops")


def test_a_command_says_why_an_entity_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That there is no such choice would send its owner looking for a typing mistake."""
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "http://127.0.0.1:1")
    monkeypatch.setitem(catalog.BAD_ENTITIES, "shops", BadEntity("shops.yaml:1: it is wrong"))
    for command in ("indexes", "compare", "reindex", "rollback", "replay"):
        assert main.main([command, "shops"]) == 1
        assert "BadEntity: shops.yaml:1: it is wrong" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Shops", "shop-items", "1shops", "searchsync_x", "s" * 51])
def test_a_name_that_cannot_name_everything_is_refused(write: Write, name: str) -> None:
    write(name, LOCATIONS)
    write("locations", changed(LOCATIONS, "key:", "sql: places.sql\nkey:"))
    found, bad = catalog._load()
    assert (list(found), list(bad)) == (["locations"], [name])
    assert "lower-case letters" in str(bad[name])


def test_one_table_is_one_entity(write: Write) -> None:
    """Each would delete what the other one wrote, or count it as an orphan."""
    write("members", MEMBERS)
    write("people", MEMBERS)
    write("others", changed(MEMBERS, "connection: aws_default", "connection: aws_of_others"))
    found, bad = catalog._load()
    assert (sorted(found), list(bad)) == (["members", "others"], ["people"])
    assert "members is made from the same table members" in str(bad["people"])
    assert "write select into both files" in str(bad["people"])


def test_entities_share_a_table_when_their_selections_are_apart(write: Write) -> None:
    write("members", f"{UNMEASURED}select: {{attribute: kind, equals: member}}\n")
    write("people", f"{UNMEASURED}select: {{attribute: kind, prefix: mem}}\n")
    write("staff", f"{UNMEASURED}select: {{attribute: kind, equals: staff}}\n")
    found, bad = catalog._load()
    assert (sorted(found), list(bad)) == (["members", "staff"], ["people"])
    assert "members selects kind=member of the same table members: kind=mem* is not apart from it" in str(bad["people"])


def test_only_a_string_selects(write: Write) -> None:
    write("members", f"{MEMBERS}key_types: [N]\nselect: {{attribute: member_id, prefix: m}}\n")
    assert "member_id has the type N in key_types: only strings can select" in str(catalog._load()[1]["members"])


def test_each_part_of_a_key_has_a_type(write: Write) -> None:
    path = write("members", f"{MEMBERS}key_types: [S, N]\n")
    found, bad = catalog._load()
    assert (found, str(bad["members"])) == ({}, f"{path}: key_types has 2 types for a key of 1 parts")
    write("members", changed(UNMEASURED, "[member_id]", "[org, at]\nkey_types: [S, N]"))
    found, bad = catalog._load()
    assert (found["members"].key, found["members"].key_types, bad) == (("org", "at"), ("S", "N"), {})


BEATS = "heartbeat: {member_id: x-searchsync-heartbeat, kind: member}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{BEATS.replace('x-', '')}key_types: [N]\n", "heartbeat.member_id must be a whole number: key_types says so"),
        ("heartbeat: {kind: member}\n", "heartbeat lacks member_id, which is of the key"),
        (
            "heartbeat: {member_id: m-1}\n",
            "must be a text of letters, digits and -_.:/#|~ that ends in searchsync-heartbeat",
        ),
        ("heartbeat: {member_id: '*searchsync-heartbeat'}\n", "that ends in searchsync-heartbeat"),
        (f"{BEATS}select: {{attribute: kind, equals: staff}}\n", "heartbeat is not selected by kind=staff"),
        (
            "heartbeat: {member_id: searchsync-heartbeat, tags: [a]}\n",
            "heartbeat.tags must be a text or a whole number",
        ),
    ],
)
def test_a_heartbeat_that_could_not_be_found_or_granted_is_refused(write: Write, text: str, said: str) -> None:
    """Not at night, by a run: the file itself is wrong."""
    write("members", UNMEASURED + text)
    assert said in str(catalog._load()[1]["members"])


def test_two_heartbeats_of_a_table_are_two_items(write: Write) -> None:
    """Each would take the other one's item for somebody's, and measure nothing."""
    write("members", f"{UNMEASURED}select: {{attribute: kind, equals: member}}\n{BEATS}")
    staff = f"{UNMEASURED}select: {{attribute: kind, equals: staff}}\n{BEATS.replace('member}', 'staff}')}"
    write("staff", staff)
    found, bad = catalog._load()
    assert list(found) == ["members"]
    assert "members has the same heartbeat.member_id in the same table members" in str(bad["staff"])
    write("staff", changed(staff, "x-", "y-"))
    assert sorted(catalog._load()[0]) == ["members", "staff"]


def test_an_include_folder_without_entities_is_said(tmp_path: Path) -> None:
    """Without a word, Airflow would just have no DAGs; and `entity new` has to write the first file."""
    command = "from searchsync.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    loaded = f"import runpy; runpy.run_path({str(REPO / 'dags' / 'entities.py')!r})"
    env = {**os.environ, "SEARCHSYNC_INCLUDE": str(tmp_path), "PYTHONPATH": str(REPO / "src")}

    def said(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        return done.stderr

    assert "ImportError" in (dag := said(loaded))
    assert "holds no entity file" in dag
    for arguments in (("indexes",), ("entity", "check", "shops")):
        assert said(command, *arguments).startswith("searchsync: BadParams: ")
    new = said(command, "entity", "new", "shops", "--postgres", "shops", "--connection", "shop")
    assert new.startswith("searchsync: BadParams: SHOP_DSN is not set")


def test_an_entity_has_its_own_numbers_where_its_file_has_them() -> None:
    members = CATALOG["members"]
    assert (config.freshness(members).hours, config.freshness(CATALOG["locations"]).hours) == (192, 3)
    lenient = replace(members, thresholds={"rejected": 7}, freshness={"hours": 1, "stream_lag": 9})
    assert (config.thresholds(lenient).rejected, config.thresholds(members).rejected) == (7, 0)
    assert (config.freshness(lenient).stream_lag, config.freshness(members).stream_lag) == (9, 300)
    assert config.thresholds(lenient).reconciled == config.thresholds(members).reconciled


NO_TENANT: dict[str, tuple[str, dict[str, Any], str]] = {
    "no field": ("nobody", {}, "the mapping has no such field"),
    "words": ("name", {}, "it must be a keyword, not text"),
    "an object": ("address", {}, "it must be a keyword, not object"),
    "Acme and acme": ("owner", {"owner": {"type": "keyword", "normalizer": "exact"}}, "one tenant of two"),
    "not searched": ("owner", {"owner": {"type": "keyword", "index": False}}, "not searched"),
    "of nobody": ("owner", {"owner": {"type": "keyword", "null_value": "all"}}, "makes a tenant of what has none"),
    "nested": (
        "own.er",
        {"own": {"type": "nested", "properties": {"er": {"type": "keyword"}}}},
        "it is in nested objects",
    ),
}


@pytest.mark.parametrize("what", NO_TENANT)
def test_a_field_that_would_not_part_the_tenants_is_refused(what: str, write: Write) -> None:
    """A filter by it would show documents to the wrong tenant, or none to the right one."""
    tenant, fields, why = NO_TENANT[what]
    body = json.loads((REPO / "include" / "mappings" / "members.json").read_text(encoding="utf-8"))
    body["mappings"]["properties"] |= {"address": {"properties": {"city": {"type": "keyword"}}}, **fields}
    mapping = write("members", MEMBERS).parents[1] / "mappings" / "members.json"
    mapping.parent.mkdir()
    mapping.write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(BadMapping, match=f"members.json: '{tenant}' holds the tenant of a document: .*{why}"):
        _ = replace(CATALOG["members"], tenant=tenant).index_body
    assert replace(CATALOG["members"], tenant="address.city").index_body == body


def test_the_tenant_of_an_entity_is_named_by_its_file(write: Write) -> None:
    write("members", changed(MEMBERS, "tenant: tenant_id", "tenant: club"))
    write("locations", LOCATIONS)
    found, _ = catalog._load()
    assert {name: one.tenant for name, one in found.items()} == {"members": "club", "locations": None}
    assert CATALOG["members"].tenant == "tenant_id"


def test_a_transformation_is_read_from_yaml_and_from_the_json_of_a_package(write: Write) -> None:
    path = write(
        "members", f"{MEMBERS}transform: {{version: 2, rename: {{a: b}}, constant: {{c: [1.5, x]}}, drop: [d]}}\n"
    )
    (read,) = catalog._load()[0].values()
    path.with_suffix(".json").write_text(json.dumps(entity_file.read(path)), encoding="utf-8")
    path.unlink()
    (packed,) = catalog._load()[0].values()
    for found in (read.transform, packed.transform):
        assert found is not None
        assert vars(found) == {
            "version": 2, "take": {}, "rename": {"a": "b"}, "drop": ["d"], "constant": {"c": [1.5, "x"]}, "python": "",
        }  # fmt: skip
    assert CATALOG["members"].transform is None


def test_what_a_file_does_not_say_has_a_default() -> None:
    shops = Entity("shops", "dynamodb", ("id",))
    assert (shops.connection, shops.table, shops.cron("replay")) == ("aws_default", "shops", "*/10 * * * *")
    assert Entity("places", "postgres", ("id",)).sql_path == "include/sql/places.sql"
    assert shops.variable("DEAD_LETTER_QUEUE") == "SEARCHSYNC_SHOPS_DEAD_LETTER_QUEUE"
