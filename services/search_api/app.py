"""The application: what is answered where, and what it is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

from fastapi import FastAPI
from starlette.convertors import register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from search_api import openapi, telemetry
from search_api.agent.budget import Budgets
from search_api.edge import Edge
from search_api.problems import Problem
from search_api.routes import development, health, page
from search_api.routes.ask import Ask
from search_api.routes.bodies import method_not_allowed
from search_api.routes.documents import AnyText, Documents
from search_api.routes.entities import Entities
from search_api.routes.search import Search
from search_api.routes.suggest import Suggest
from search_api.routes.warm import Warm
from search_api.service import Service
from search_api.settings import Settings

EXPOSED = (
    *("age", "retry-after", "www-authenticate", "x-cache", "x-discouraged", "x-request-id"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
"""Headers of a response that a page of an allowed origin may read."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It reaches its servers when it is started, and not before."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.otlp_endpoint:
            telemetry.tracing.start(telemetry.otlp(settings.otlp_endpoint), settings.trace_ratio)
        async with service.running():
            yield
        telemetry.tracing.stop()

    return FastAPI(
        lifespan=lifespan,
        openapi_url=None,  # the description is our own: what is answered to follows the entities' files
        redirect_slashes=False,
        middleware=_middleware(settings),
        exception_handlers={HTTPException: _as_problem},
        routes=[*_routes(service), *development.routes(settings)],
    )


def _middleware(settings: Settings) -> list[Middleware]:
    """Return what stands before the routes. Pages of other origins get nothing but from those that were allowed."""
    if not settings.allowed_origins:
        return [Middleware(Edge)]
    cors = partial(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "traceparent", "x-request-id"],
        expose_headers=EXPOSED,
        max_age=600,
    )
    return [Middleware(Edge, around=cors)]


register_url_convertor("any", AnyText())


def _routes(service: Service) -> list[BaseRoute]:
    """Return what is answered where. What is asked most stands first; an id may have slashes, so it stands last.

    They are Starlette's own routes: one of FastAPI takes 16 µs longer for each request, and would do nothing here.
    """
    return [
        Route("/v1/{entity}/search", Search(service).answer, methods=["GET", "POST"]),
        Route("/v1/{entity}/suggest", Suggest(service).get, methods=["GET"]),
        Route("/v1/{entity}/warm", Warm(service).post, methods=["GET", "POST"]),
        Route("/v1/ask", Ask(service, Budgets()).post, methods=["POST"]),
        Route("/v1/entities", Entities(service).get, methods=["GET"]),
        Route("/v1/{entity}/{id:any}", Documents(service).get, methods=["GET"]),
        Route("/health", health.health, methods=["GET"]),
        Route("/ready", health.Readiness(health.dependencies(service)).get, methods=["GET"]),
        Route("/metrics", health.metrics, methods=["GET"]),
        page.same("/openapi.json", openapi.document(service.entities.values()), b"application/json"),
        *page.routes(),
    ]


async def _as_problem(request: Request, error: Exception) -> Response:
    """Raise the problem that an unknown address or method is; the edge answers it."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        raise method_not_allowed(request, (error.headers or {})["Allow"].split(", "))
    raise Problem(404, "not-found", "There is nothing at this address.", next_step="See /openapi.json.")
