"""HTML of the pages. They load nothing: style and scripts stand in the page, and its policy allows these very texts."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from search_ops.evidence import PREFIX, base_path
from search_ops.indexes_page import curve, words
from search_ops.indexes_page.airflow_runs import Run
from search_ops.indexes_page.model import Step

_SELF, _NONE = "'self'", "'none'"
_HERE = Path(__file__).parent
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def indexes(**values: Any) -> HTMLResponse:
    """Return the page *Indexes*."""
    return _page("indexes.html", **values)


def start(**values: Any) -> HTMLResponse:
    """Return the form that starts a run. Its script asks Airflow's API to; the rest of the page only shows."""
    return _page("start.html", form_script=_text("start.js"), **values)


def _page(template: str, *, form_script: str = "", **values: Any) -> HTMLResponse:
    style, theme = _text("style.css"), _text("theme.js")
    scripts = " ".join(_hash(script) for script in (theme, form_script) if script)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {scripts}; "
        f"connect-src {_SELF if form_script else _NONE}; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    html = _templates().get_template(template).render(style=style, theme=theme, form_script=form_script, **values)
    return HTMLResponse(html, headers={**_HEADERS, "Content-Security-Policy": policy})


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {name: getattr(words, name) for name in ("ago", "duration", "size", "number")}
    made.globals |= {
        "airflow": lambda path: f"{base_path()}{path}",
        "curve": curve.curve,
        "dag_url": lambda dag_id: f"{base_path()}/dags/{quote(dag_id, safe='')}",
        "home": lambda: f"{base_path()}{PREFIX}/indexes",
        "run_url": _run_url,
        "start_url": _start_url,
    }
    return made


def _run_url(run: Run) -> str:
    return f"{base_path()}/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"


def _start_url(step: Step) -> str:
    conf = urlencode({"conf": json.dumps(step.conf)}) if step.conf else ""
    return f"{base_path()}{PREFIX}/indexes/start/{quote(step.dag_id, safe='')}{'?' if conf else ''}{conf}"
