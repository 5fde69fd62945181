"""The pages: the files of a run, for those who may read the logs of its DAG; and the page *Indexes*.

These pages, and nothing else of ours, are built on the API's own code.

A browser opens them by a plain navigation: it is logged in by the cookie with Airflow's token, which
``requires_access_dag`` takes where there is no ``Authorization`` header.
"""

from contextlib import suppress
from urllib.parse import quote, urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request, Response, status
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, RedirectResponse

from search_ops.evidence import base_path
from search_ops.indexes_page import routes
from search_ops.runs import reports_root

HEADERS = {
    # Data Docs show values of the source's rows: a script in one of them is not of this origin and nobody's.
    "Content-Security-Policy": "sandbox allow-scripts; connect-src 'none'; form-action 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

app = FastAPI(openapi_url=None)
app.include_router(routes.router)


@app.get(
    "/reports/{dag_id}/{run_id}/{file:path}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))],
)
def report(dag_id: str, run_id: str, file: str) -> FileResponse:
    """One plain file of a run's folder."""
    root = reports_root().resolve()
    with suppress(OSError, RuntimeError, ValueError):  # not there; links in a circle; outside, or no name for a file
        found = (root / dag_id / run_id / file).resolve(strict=True)
        # With links and dots resolved: access was granted to this DAG, and to nothing else below the root.
        if found.relative_to(root).parts[:2] == (dag_id, run_id) and found.is_file():
            return FileResponse(found, headers=HEADERS)
    raise HTTPException(
        status.HTTP_404_NOT_FOUND,
        f"The API server has no file {dag_id}/{run_id}/{file} in its SEARCHSYNC_REPORTS. Either the task has not "
        "written it, or it was cleaned up, or the workers write elsewhere: they have to share that folder with it.",
        HEADERS,
    )


@app.exception_handler(status.HTTP_401_UNAUTHORIZED)
async def log_in(request: Request, error: HTTPException) -> Response:
    """A browser goes to Airflow's login and comes back, as from Airflow's own pages; others get the plain 401."""
    if "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    asked = quote(request.scope["path"]) + (f"?{request.url.query}" if request.url.query else "")
    back = urlencode({"next": asked})
    return RedirectResponse(f"{base_path()}/api/v2/auth/login?{back}")
