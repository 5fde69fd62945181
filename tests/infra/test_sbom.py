"""The list of what is in an image names what the image gets, with its hashes, and nothing that others get."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local import sbom
from local.paths import ROOT
from local.sbom import BUILT, Built


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    written = sbom.write(tmp_path_factory.mktemp("sbom"))
    return {path.name.removesuffix(".cdx.json"): json.loads(path.read_text(encoding="utf-8")) for path in written}


@pytest.mark.parametrize("name", sorted(BUILT))
def test_each_package_of_the_lock_is_listed(name: str, documents: dict[str, dict[str, Any]]) -> None:
    listed = {one["name"]: one for one in documents[name]["components"]}
    lock = (ROOT / BUILT[name].lock).read_text(encoding="utf-8")
    plain = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", lock, re.MULTILINE))  # those without a condition
    assert len(plain) >= 5
    assert {package: listed[package]["version"] for package in plain} == plain
    for one in listed.values():
        hashes = {found["content"] for reference in one["externalReferences"] for found in reference["hashes"]}
        assert hashes
        assert all(f"sha256:{found}" in lock for found in hashes)
    assert documents[name]["bomFormat"] == "CycloneDX"
    assert documents[name]["metadata"]["component"]["name"] == "searchsync"


def test_what_another_platform_gets_is_not_listed(documents: dict[str, dict[str, Any]]) -> None:
    """A scanner would look for holes in what is not there."""
    lock = (ROOT / BUILT["airflow"].lock).read_text(encoding="utf-8")
    elsewhere = set(re.findall(r"^([\w.-]+)==\S+ ; sys_platform == 'win32' ", lock, re.MULTILINE))
    assert elsewhere, "nothing would be left out"
    assert not elsewhere & {one["name"] for one in documents["airflow"]["components"]}


def test_python_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "    --hash=sha256:" + "0" * 64 + "\n"
    entries = [
        f"{entry} \\\n{digest}"
        for entry in ("a==1", "b==1 ; python_full_version < '3.12'", "b==2 ; python_full_version >= '3.12'")
    ]
    (tmp_path / "lock.txt").write_text("    # via c\n".join(entries))
    monkeypatch.setattr(sbom, "ROOT", tmp_path)
    for built, expected in ((BUILT["airflow"], entries[:2]), (BUILT["stream-function"], [entries[0], entries[2]])):
        assert sbom.installed(Built("lock.txt", built.platform)) == expected
