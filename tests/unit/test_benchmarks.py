"""What benchmarks are fed with, and how they end: wrong pages or a bar that nobody sees would make them worthless."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import _members_data
from benchmarks._bars import Bar, conclude
from local import tables
from local.paths import ROOT
from searchsync.catalog import entity
from searchsync.sources.dynamodb import DynamoSource, Segment


def test_recorded_pages_of_members_are_scanned_to_the_recorded_bodies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_members_data, "PAGE_BYTES", 5_000)
    _members_data.mapping(tmp_path / "include")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path / "include"))
    of = replace(entity("members"))  # which has not read its files yet
    table = _members_data.record(of, 100, tmp_path)
    assert table.attributes > 100 * min(_members_data.WIDTHS)
    command = [sys.executable, "-m", "benchmarks._members_server", json.dumps({"pages": str(table.pages)})]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            source = DynamoSource(of, tables.client("dynamodb", server.stdout.readline().strip()))
            for number, folder in enumerate(table.bodies):
                bodies = [file.read_bytes() for file in sorted(folder.iterdir())]
                pages = list(source.pages(Segment(number, len(table.bodies))))
                assert len(pages) == len(bodies) > 1
                for page, body in zip(pages, bodies, strict=True):
                    assert [one.split(b'"bucket"')[-1] for one in page.body.splitlines()] == [
                        one.split(b'"bucket"')[-1] for one in body.splitlines()
                    ]
                    assert page.rejected == ()
        finally:
            server.kill()


def test_a_benchmark_ends_with_its_bars_and_one_line_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that is not met would look like success to whoever runs it."""
    met, missed = Bar("speed", 2.0, least=1.0), Bar("memory", float("nan"), most=3.0)
    for bars, code in (([met], 0), ([met, missed], 1), ([], 0)):
        assert conclude("the table", {"benchmark": "any"}, bars) == code
        *people, programs = capsys.readouterr().out.splitlines()
        assert people == ["the table", *map(str, bars)]
        told = json.loads(programs)
        assert (told["benchmark"], told["ok"], len(told["bars"])) == ("any", code == 0, len(bars))
    assert "NOT MET memory" in str(missed)


def test_what_runs_with_the_library_of_another_commit_imports_nothing_that_needs_this_one() -> None:
    """``--before`` runs the loader beside the other commit's library: `local` belongs to the library of its own."""
    for module in ("_members_load", "_loads"):
        text = (ROOT / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
        assert not re.findall(r"^\s*(?:from|import) local\b.*", text, re.MULTILINE), module
