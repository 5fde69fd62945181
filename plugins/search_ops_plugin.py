"""What this project adds to Airflow: a page of all indexes, pages with a run's files, fields of a task's log."""

from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin

from search_ops import task_log
from search_ops.evidence import PREFIX, EvidenceLink, base_path

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def pages(scope: "Scope", receive: "Receive", send: "Send") -> None:
    """The pages, imported by the first request: every process of Airflow loads this file, also that of each task."""
    from search_ops.pages import app

    await app(scope, receive, send)


class SearchOpsPlugin(AirflowPlugin):
    """The only plugin: ``.airflowignore`` keeps everything else below this folder from being loaded as one."""

    name = "search_ops"
    fastapi_apps = [{"app": pages, "url_prefix": PREFIX, "name": "searchsync"}]  # noqa: RUF012
    # Airflow shows what has a url_route in a frame that lets no link lead out of it; this page is full of such links.
    # Without a category, Airflow 3.3.2 makes a button of the link, which does nothing.
    external_views = [  # noqa: RUF012
        {"name": "Indexes", "href": f"{base_path()}{PREFIX}/indexes", "destination": "nav", "category": "browse"}
    ]
    operator_extra_links = [EvidenceLink()]  # noqa: RUF012
    listeners = [task_log]  # noqa: RUF012
