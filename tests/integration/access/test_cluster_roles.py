"""The roles of OpenSearch: what is asked of the security plugin, and that asking twice changes nothing."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from string import Template
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from local import jars
from searchsync.access import cluster_roles
from searchsync.access.roles import rendered
from searchsync.catalog import CATALOG, include_dir
from searchsync.cli import main
from searchsync.config import snapshots
from tests.integration.access.emulator import ACCOUNT, PLACE
from tests.integration.access.security_api import SecurityApi, serving

OF_PLUGINS = ("cluster:admin/opendistro/ism/", "cluster:admin/opensearch/snapshot_management/")
"""Of the plugin Index Management, which the local distribution does not have; its documentation names them."""
FOLDER = include_dir() / "policies"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecurityApi]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", PLACE.region)
    with serving() as api:
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", api.url)
        yield api


def file() -> Any:
    return yaml.safe_load((FOLDER / "opensearch_roles.yaml").read_text(encoding="utf-8"))


def test_the_file_is_what_its_schema_says() -> None:
    schema = json.loads((FOLDER / "opensearch_roles.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert not [f"{one.json_path}: {one.message}" for one in Draft202012Validator(schema).iter_errors(file())]


def test_roles_are_made_and_mapped_and_the_second_time_nothing_changes(api: SecurityApi) -> None:
    assert main.main(["access", "apply", "--account", ACCOUNT]) == 0
    role = api.made["roles/searchsync-stream-members"]
    assert role["cluster_permissions"] == ["indices:data/write/bulk"]
    assert [one["index_patterns"] for one in role["index_permissions"]] == [
        ["members", "members-*"],
        ["searchsync-gaps"],
    ]
    mapped = api.made["rolesmapping/searchsync-stream-members"]
    assert mapped["backend_roles"] == [f"arn:aws:iam::{ACCOUNT}:role/searchsync-stream-members"]
    repository = api.made["_snapshot/searchsync"]
    assert repository["settings"]["bucket"] == f"searchsync-snapshots-{ACCOUNT}"
    assert repository["settings"]["role_arn"] == f"arn:aws:iam::{ACCOUNT}:role/searchsync-snapshot"
    assert repository["settings"]["server_side_encryption"] == "true"
    writes = api.writes
    assert main.main(["access", "apply", "--account", ACCOUNT]) == 0
    assert api.writes == writes == 2 * len(cluster_roles.rendered(CATALOG.values())) + 1


def test_what_somebody_widened_is_put_back(api: SecurityApi) -> None:
    main.main(["access", "apply", "--account", ACCOUNT])
    wanted = json.dumps(api.made)
    api.made["roles/searchsync-search-api-task"]["index_permissions"][0]["index_patterns"] = ["*"]
    api.made["rolesmapping/searchsync-search-api-task"]["backend_roles"].append("arn:aws:iam::1:role/else")
    main.main(["access", "apply", "--account", ACCOUNT])
    assert json.dumps(api.made) == wanted


def test_a_wrong_account_changes_nothing(api: SecurityApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["access", "apply", "--account", "12345678901"]) == 1
    assert "12 digits. Nothing was changed" in capsys.readouterr().err
    assert not api.writes


def test_each_role_is_taken_by_a_role_of_aws_that_may_send_its_requests() -> None:
    """Else the one of the two gives what the other refuses."""
    iam = rendered(PLACE, CATALOG.values())
    for name, role in cluster_roles.rendered(CATALOG.values()).items():
        granted = {call for grant in iam[name].grants for call in grant.calls if call.startswith(("es:ESHttp", "es:*"))}
        sent = {f"es:ESHttp{request.split()[0].title()}" for grant in role.grants for request in grant.requests}
        assert sent == granted or "es:*" in granted, name


def test_a_search_api_cannot_write_and_sees_no_entity_that_is_not_searched() -> None:
    hidden = [replace(entity, search=None) if entity.name == "members" else entity for entity in CATALOG.values()]
    role = cluster_roles.rendered(hidden)["searchsync-search-api-task"].definition()
    (of_indexes,) = role["index_permissions"]
    assert not [one for one in of_indexes["allowed_actions"] if "write" in one or "admin/delete" in one]
    assert of_indexes["index_patterns"] == ["locations", "locations-*"]


def test_no_pattern_without_a_reason() -> None:
    grants = [grant for role in file()["roles"].values() for grant in role["grants"]]
    assert not [
        grant for grant in grants if any("*" in index for index in grant.get("indexes", ())) and not grant.get("why")
    ]


def test_opensearch_has_each_permission() -> None:
    """A permission that is spelt wrong grants nothing, and nobody would know before production."""
    wanted = {one for kinds in file()["requests"].values() for some in kinds.values() for one in some}
    names = b"".join(_classes(next(path for path in jars.classpath() if path.name.startswith("opensearch-3."))))
    missing = [one for one in wanted if one.encode() not in names and not one.startswith(OF_PLUGINS)]
    assert not missing


def test_bucket_and_role_of_the_repository_are_those_that_the_infrastructure_makes() -> None:
    """OpenSearch would take a role that may not reach the bucket, and each night would end without a snapshot."""
    policy, role = snapshots(), rendered(PLACE, CATALOG.values())[snapshots().role]
    assert policy.role == role.name
    bucket = Template(policy.bucket).substitute(account=PLACE.account)
    assert {arn for grant in role.grants for arn in grant.resources} >= {f"arn:aws:s3:::{bucket}/*"}


def _classes(jar: Any) -> Iterator[bytes]:
    with zipfile.ZipFile(jar) as packed:
        for name in packed.namelist():
            if name.startswith("org/opensearch/action/") and name.endswith(".class"):
                yield packed.read(name)
