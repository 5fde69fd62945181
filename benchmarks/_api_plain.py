"""What the search API is compared with: an endpoint of FastAPI that passes a query on by opensearch-py, and no more.

It knows nobody, checks nothing and keeps nothing. Run it as ``uvicorn benchmarks._api_plain:app``.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from opensearchpy import AsyncOpenSearch


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    application.state.client = AsyncOpenSearch(os.environ["SEARCHSYNC_OPENSEARCH_URL"], pool_maxsize=32)
    yield
    await application.state.client.close()


app = FastAPI(lifespan=_lifespan)


@app.post("/{index}/search")
async def search(index: str, query: dict[str, Any], request: Request) -> Any:
    """Return OpenSearch's answer."""
    return await request.app.state.client.search(index=index, body=query)
