"""The page *Indexes* in a real browser: from Airflow's menu to a run that is started."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from local import ports
from searchsync.catalog import CATALOG
from searchsync.cluster.client import Client
from tests import browser
from tests.browser import Page
from tests.dags.pages import token
from tests.steps import serve

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason="no Chromium here (Debian, Ubuntu: the package chromium)"
)

Looking = Callable[..., None]
PAGE = "/searchsync/indexes"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium() -> Iterator[str]:
    with browser.running() as address:
        yield address


@pytest.fixture(scope="module")
def address(server: FastAPI) -> Iterator[str]:
    """Where Airflow's API and user interface answer."""
    port = ports.choose()
    made = uvicorn.Server(uvicorn.Config(server, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    while not ports.answers(port):
        assert thread.is_alive()
    yield f"http://127.0.0.1:{port}"
    made.should_exit = True
    thread.join()


@pytest.fixture
def looking(address: str, chromium: str, connected: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    """Looks at a page as somebody who may start runs; requires that the browser had nothing to complain about."""
    from search_ops.indexes_page import questions

    monkeypatch.setattr(questions, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(questions, "PART_SECONDS", 50.0)

    def look(path: str, act: Callable[[Page], Awaitable[None]], *, script: bool = True) -> None:
        async def run() -> None:
            async with browser.opened(chromium) as page:
                await page.size(1280, 900)
                await page.send("Network.setCookie", name="_token", value=token("user"), url=address)
                await page.send("Emulation.setScriptExecutionDisabled", value=not script)
                await page.go(f"{address}{path}")
                await page.until("document.readyState === 'complete' && location.host")
                await act(page)
                assert not page.complaints
                await page.go("about:blank")  # Airflow's own pages would go on asking for as long as they are open

        asyncio.run(run())

    return look


@pytest.fixture
def live(client: Client) -> str:
    blue = serve(client, CATALOG["locations"], "a/1")
    return serve(client, CATALOG["locations"], "a/2", blue=blue)


def test_from_the_menu_to_the_page(looking: Looking, live: str) -> None:
    """The link is in Airflow's menu, and opens the page itself, whose links lead to Airflow's pages."""

    async def look(page: Page) -> None:
        await page.until("document.querySelector('button[aria-label=Browse]')")
        await page.run("document.querySelector('button[aria-label=Browse]').focus()")
        await page.press("Enter")
        link = await page.until("document.querySelector('a[aria-label=Indexes]')?.href")
        page.complaints.clear()  # Airflow's own
        await page.go(link)
        await page.until(f"document.body.innerText.includes('{live}')")

    looking("/", look)


def test_a_run_is_started_with_the_values_of_a_step(looking: Looking, live: str) -> None:
    """By the keyboard alone; what Airflow refuses is told, and nothing is started."""

    async def look(page: Page) -> None:
        step = "[...document.querySelectorAll('main a')].find(one => one.textContent.startsWith('Roll back to'))"
        await page.run(f"{step}.focus()")
        await page.press("Enter")
        values = await page.until("document.querySelector('#conf')?.value")
        assert '"entity": "locations"' in values
        await page.run("document.querySelector('#conf').value = '{\"entity\": \"nothing\"}'")
        await page.run("document.querySelector('button').focus()")
        await page.press("Enter")
        assert "Nothing was started" in await page.until("document.querySelector('[role=alert]').textContent")
        page.complaints.clear()  # the 400
        await page.run(f"document.querySelector('#conf').value = {values!r}")
        await page.press("Enter")
        await page.until("location.pathname.startsWith('/dags/index_rollback/runs/manual__')")
        page.complaints.clear()  # Airflow's own

    looking(PAGE, look)
    assert _runs("index_rollback")[-1].conf["entity"] == "locations"


def _runs(dag_id: str) -> list[Any]:
    from airflow.models.dagrun import DagRun

    return list(DagRun.find(dag_id=dag_id))


def test_it_works_without_javascript(looking: Looking, live: str) -> None:
    async def look(page: Page) -> None:
        told = await page.send("DOM.getDocument", depth=-1)
        found = await page.send("DOM.getOuterHTML", nodeId=told["root"]["nodeId"])
        assert live in found["outerHTML"]
        assert "start/locations_reindex" in found["outerHTML"]

    looking(PAGE, look, script=False)


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_needs_no_scrolling_sideways(looking: Looking, live: str, width: int) -> None:
    async def look(page: Page) -> None:
        await page.size(width, 800, phone=True)
        assert await page.run(OVERFLOW) <= 0
        await page.run("document.querySelector('main li a').click()")
        await page.until("document.querySelector('#conf')")
        assert await page.run(OVERFLOW) <= 0

    looking(PAGE, look)


def test_it_is_dark_when_airflow_is(looking: Looking, live: str) -> None:
    async def look(page: Page) -> None:
        background = "getComputedStyle(document.body).backgroundColor"
        for theme, color in (("dark", "rgb(20, 24, 29)"), ("light", "rgb(246, 247, 249)")):
            await page.run(f"localStorage.setItem('theme', '{theme}')")
            await page.send("Page.reload")
            await page.until(f"{background} === '{color}'")

    looking(PAGE, look)
