"""What the documents name is there."""

import re
from pathlib import Path

import yaml

from tests import runbooks

REPO = Path(__file__).parents[2]


def test_every_test_that_a_document_names_exists() -> None:
    """A table of proofs with a test that was renamed proves nothing."""
    there = {
        f"{file.stem}::{name}"
        for file in (REPO / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {
        name
        for file in (REPO / "docs").rglob("*.md")
        for name in re.findall(r"`(test_\w+::test_\w+)`", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert sorted(named - there) == []


def test_the_table_of_proofs_is_that_of_the_tests() -> None:
    from tests.consistency.rules import PLACES, PROOFS

    text = (REPO / "docs" / "protocol.md").read_text(encoding="utf-8").split("## Proofs", 1)[1]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines() if line.startswith("| ")]
    listed, rule = set(), ""
    for named, events, mutant in rows[1:]:
        rule = named or rule  # an empty cell: the rule of the row above
        listed.add((rule, events, mutant))
    proofs = [*PROOFS.items(), *PLACES.items()]
    assert listed == {(proof.rule, proof.scenario.__name__.replace("_", " "), name) for name, proof in proofs}


def test_runbooks_are_those_of_every_entity() -> None:
    """A command of another entity, copied at night, would be run on the wrong index."""
    pages = sorted((REPO / "docs" / "operations").glob("*.md"))
    assert len(pages) > 7
    named = {page.name for page in pages if re.search(r"\b(locations|members)\b", page.read_text(encoding="utf-8"))}
    assert not named, "write <entity> instead"


def test_each_module_of_the_infrastructure_has_its_five_lines() -> None:
    text = (REPO / "docs" / "infrastructure" / "modules.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == {path.name for path in (REPO / "infra" / "modules").iterdir() if path.is_dir()}
    for name, body in sections.items():
        starts = re.findall(r"^- (\w[\w ]*):", body, re.MULTILINE)
        assert starts == ["Answers", "Makes", "Why so", "Differs", "Tests"], name
        for path in re.findall(r"`(tests/\S+)`", body):
            assert (REPO / path).exists(), f"{name}: {path}"


def test_links_between_documents_lead_somewhere() -> None:
    """A page that was renamed, or a heading that was reworded, would be missed when it is needed."""
    pages = [REPO / "README.md", *(REPO / "docs").rglob("*.md")]
    links = 0
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                assert anchor in anchors(target), f"{page.name}: {link}"
            links += 1
    assert links > 40


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


OF_NO_DAG = {
    *("README", "airflow", "alarms", "incident", "indexes", "seeing", "stream"),
    *("chaos", "disaster", "load", "rollback", "security_review"),
}
"""Pages of ``docs/operations`` that are about something else than a DAG."""


def test_every_alarm_has_a_section_of_one_form_that_its_row_names() -> None:
    """At night nobody searches: the alarm names the section, and the section says what to do."""
    rows = yaml.safe_load((REPO / "include" / "policies" / "alarms.yaml").read_text(encoding="utf-8"))["alarms"]
    text = (REPO / "docs" / "operations" / "alarms.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    named = {row["runbook"].removeprefix("docs/operations/alarms.md#") for row in rows.values()}
    assert sections.keys() == named, "one section each; a row may have that of another"
    for name, body in sections.items():
        parts = re.findall(r"^\*\*(\w+)\*\*", body, re.MULTILINE)
        assert parts == ["Means", "Causes", "Next", "Undo"], name


def test_the_severities_of_an_incident_are_those_of_the_alarms() -> None:
    content = yaml.safe_load((REPO / "include" / "policies" / "alarms.yaml").read_text(encoding="utf-8"))
    text = (REPO / "docs" / "operations" / "incident.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in re.findall(r"^\| P\d .*$", text, re.MULTILINE)]
    severities = content["severities"].items()
    assert rows == [[name, one["answer"], ", ".join(one["channels"])] for name, one in severities]


def test_the_page_of_every_dag_has_one_form() -> None:
    """Which DAGs there are, and that each names its page, is for tests/dags/test_policy.py."""
    for page in sorted((REPO / "docs" / "operations").glob("*.md")):
        if page.stem in OF_NO_DAG:
            continue
        headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        form = [name for name in headings if name in ("What it means", "Which cause", "The next step", "Undo")]
        assert form == ["What it means", "Which cause", "The next step", "Undo"], f"{page.name}: as all runbooks"


def test_the_index_leads_to_every_page() -> None:
    index = (REPO / "docs" / "operations" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (REPO / "docs" / "operations").glob("*.md")} - {"README.md"}
    for page in sorted(pages):
        assert f"({page}" in index, f"name {page} in docs/operations/README.md"


def test_commands_that_list_indexes_list_hidden_ones() -> None:
    """The product's are hidden, and OpenSearch leaves such out of what stands for all."""
    lines = [line for block in runbooks.blocks() for line in block.text.splitlines()]
    lists = [line for line in lines if re.search(r"/_cat/indices|/_all/", line)]
    assert lists
    assert [line for line in lists if "expand_wildcards=all" not in line] == []
