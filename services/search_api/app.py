"""The application: what is answered where, and what it is made of."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from search_api import telemetry
from search_api.edge import Edge
from search_api.problems import Problem
from search_api.routes import health, page
from search_api.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It reaches its servers when it is started, and not before."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.otlp_endpoint:
            telemetry.tracing.start(telemetry.otlp(settings.otlp_endpoint), settings.trace_ratio)
        try:
            yield
        finally:
            telemetry.tracing.stop()

    def dependencies() -> Mapping[str, health.Dependency]:
        return {}

    return FastAPI(
        title="Search API",
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Edge)],
        exception_handlers={HTTPException: _as_problem},
        routes=[
            Route("/health", health.health, methods=["GET"]),
            Route("/ready", health.Ready(dependencies).get, methods=["GET"]),
            Route("/metrics", health.metrics, methods=["GET"]),
            *page.routes(),
        ],
    )


async def _as_problem(request: Request, error: Exception) -> Response:
    """Raise the problem that an unknown address or method is; the edge answers it."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        raise Problem(
            405,
            "method-not-allowed",
            f"This address does not answer {request.method}.",
            next_step=f"It answers {allowed}.",
            headers={"Allow": allowed},
        )
    raise Problem(404, "not-found", "There is nothing at this address.", next_step="See /openapi.json.")
