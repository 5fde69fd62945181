"""The results on one page that needs no network, and as a file for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from searchsync.preflight.checks import Outcome, Result
from searchsync.preflight.run import is_good
from searchsync.preflight.table import MARKS
from searchsync.quality.report import STYLE

_CLASSES = {
    Outcome.PASSED: "good",
    Outcome.NOT_APPLICABLE: "",
    Outcome.FAILED: "bad",
    Outcome.NOT_ALLOWED: "warning",
    Outcome.OPEN: "bad",
}


def write(folder: Path, title: str, results: Sequence[Result], *, name: str = "preflight") -> None:
    """Write ``summary.html`` and a file for programs into a folder, which is made when it is missing.

    :param name: of that file, without its end ``.json``
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [asdict(result) for result in results]
    (folder / f"{name}.json").write_text(json.dumps(found, indent=2, ensure_ascii=False), encoding="utf-8")
    (folder / "summary.html").write_text(html(title, results, name=name), encoding="utf-8")


def html(title: str, results: Sequence[Result], *, name: str = "preflight") -> str:
    """Return the page: what is not good comes first, with why it matters and what to do."""
    rows = "".join(map(_row, sorted(results, key=is_good)))
    bad = sum(not is_good(result) for result in results)
    verdict = f'<span class="bad">{bad} of {len(results)}</span> are not as they should be' if bad else (
        f'<span class="good">all {len(results)}</span> are as they should be'
    )  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<body><h1>{escape(title)}</h1><p>{verdict}</p><table>"
        f"<tr><th></th><th>check</th><th>of</th><th>seen</th></tr>{rows}</table>"
        f'<p><a href="{name}.json">the same for programs</a></p></body></html>'
    )


def _row(result: Result) -> str:
    more = "" if is_good(result) else f"<br>why: {escape(result.why)}<br>fix: {escape(result.fix)}"
    return (
        f'<tr><td class="{_CLASSES[result.outcome]}">{MARKS[result.outcome]}</td><td>{escape(result.check)}</td>'
        f"<td>{escape(result.subject)}</td><td>{escape(result.seen)}{more}</td></tr>"
    )
