"""The page, in a real browser: what a person sees who searches with the keyboard, the mouse or a phone."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local import opensearch as local_opensearch
from local import redis as local_redis
from tests import browser
from tests.browser import Page
from tests.search_service import Served, searching
from tests.user_pool import bearer

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason="no Chromium here (Debian, Ubuntu: the package chromium)"
)

Looking = Callable[[Callable[[Page], Awaitable[None]]], None]
SCRIPT = "<img src=x onerror=\"document.title='run'\">"
PLACES: dict[str, dict[str, Any]] = {
    str(n): {
        "location_id": n,
        "name": name,
        "country": country,
        "population": population,
        "coordinates": {"lat": 47.0 + n, "lon": 8.0 + n},
    }
    for n, (name, country, population) in enumerate(
        [("Berlin", "DE", 3_400_000), ("Bern", "CH", 120_000), ("Bergen", "NO", 280_000), (f"Berne {SCRIPT}", "US", 5)],
        1,
    )
}
MEMBERS = {"m-1": {"member_id": "m-1", "tenant_id": "a", "name": "Berta Berg", "city": "Bern", "skills": ["go"]}}

RESULTS = "[...document.querySelectorAll('#results li h2 span:first-child')].map(one => one.textContent)"
CURRENT = "document.querySelector('#results li[aria-current]')?.querySelector('h2 span').textContent"


@pytest.fixture(scope="module")
def api(opensearch_server: local_opensearch.Server, redis_folder: Path) -> Iterator[Served]:
    redis = local_redis.start(redis_folder)
    with searching(opensearch_server, redis.url, {"locations": PLACES, "members": MEMBERS}) as served:
        yield served


@pytest.fixture(scope="module")
def chromium() -> Iterator[str]:
    with browser.running() as address:
        yield address


@pytest.fixture
def looking(api: Served, chromium: str) -> Looking:
    return lambda look: looked(api, chromium, look)


def looked(api: Served, chromium: str, look: Callable[[Page], Awaitable[None]]) -> None:
    """Open the page with a token, do something on it, and require that the browser had nothing to complain about."""

    async def run() -> None:
        async with browser.opened(chromium) as page:
            await page.size(1280, 900)
            await page.go(api.url)
            await page.until("document.querySelector('#sign-in')?.hidden === false")
            await page.run(f"document.querySelector('#token').value = {json.dumps(bearer())}")
            await page.run("document.querySelector('#sign-in').requestSubmit()")
            await page.until("!document.querySelector('#main').hidden && document.querySelector('#results li')")
            await look(page)
            assert await page.run("document.title") == "Search", "a document's text was run"
            complaints = [one for one in page.complaints if "/dev/identities" not in one]  # there are none here
            assert not complaints

    asyncio.run(run())


def test_a_person_searches_with_the_keyboard_alone(looking: Looking) -> None:
    """As you type, through the results, into one of them, and back."""

    async def look(page: Page) -> None:
        await page.run("document.activeElement.blur()")
        await page.type("/")
        assert await page.run("document.activeElement.id") == "q"
        await page.type("ber")
        await page.until(f"{RESULTS}.length === 4")
        await page.type("lin")
        assert await page.until(f"{RESULTS}.length === 1 && {RESULTS}") == ["Berlin"]
        assert "1 found" in await page.run("document.querySelector('#status').textContent")
        await page.press("ArrowDown")
        assert await page.run(CURRENT) == "Berlin"
        await page.press("Enter")
        assert "3,400,000" in await page.until("document.querySelector('.whole')?.textContent")
        assert "48, 9" in await page.run("document.querySelector('.whole').textContent")
        await page.run("document.querySelector('.whole dd').click()")
        assert await page.run("!!document.querySelector('.whole')"), "who marks a text does not close it"
        await page.press("Escape")
        await page.until(f"{RESULTS}.length === 4")
        assert await page.run("document.activeElement.id + document.querySelector('#q').value") == "q"

    looking(look)


def test_facets_filters_and_the_map_narrow_a_search(looking: Looking) -> None:
    async def look(page: Page) -> None:
        assert await page.run("document.querySelectorAll('#map circle').length") == 4
        await page.until("document.querySelector('#facets button')")
        await page.run(
            "[...document.querySelectorAll('#facets button')].find(one => one.textContent.startsWith('no')).click()"
        )
        assert await page.until(f"{RESULTS}.length === 1 && {RESULTS}") == ["Bergen"]
        await page.run("document.querySelector('#chosen button').click()")
        await page.until(f"{RESULTS}.length === 4")
        await page.run(
            "(one => { one.value = 1000000; one.dispatchEvent(new Event('change')) })"
            "(document.querySelector('#filters [name=population_min]'))"
        )
        assert await page.until(f"{RESULTS}.length === 1 && {RESULTS}") == ["Berlin"]
        assert "population_min=1000000" in await page.run("location.hash")
        assert "ey" not in await page.run("location.hash")  # no token begins otherwise
        await page.run("document.querySelector('#results li').click()")
        await page.until("document.querySelector('.near')")
        await page.run("document.querySelector('.near').click()")
        assert "0.0 km" in await page.until("document.querySelector('#results .far')?.textContent")

    looking(look)


def test_what_a_document_holds_is_text_and_never_markup(looking: Looking) -> None:
    """Else whoever can write a name can act as everybody who finds it."""

    async def look(page: Page) -> None:
        await page.run("document.querySelector('#q').focus()")
        await page.type("berne")
        found = await page.until(f"{RESULTS}.some(one => one.includes('onerror')) && {RESULTS}")
        assert any(SCRIPT in name for name in found)
        assert await page.run("document.querySelectorAll('#results img').length") == 0
        await page.until("document.querySelectorAll('#results mark').length")

    looking(look)


def test_another_entity_and_a_refusal_are_shown(looking: Looking) -> None:
    async def look(page: Page) -> None:
        await page.run(
            "[...document.querySelectorAll('#entities button')].find(one => one.textContent === 'members').click()"
        )
        assert await page.until(f"{RESULTS}.length === 1 && {RESULTS}") == ["Berta Berg"]
        assert await page.run("document.querySelector('#map').hasAttribute('hidden')")
        await page.run("location.hash = 'entity=members&nonsense=1'")
        said = await page.until(
            "!document.querySelector('#problem').hidden && document.querySelector('#problem').textContent"
        )
        assert "no parameter 'nonsense'" in said
        assert await page.run(f"{RESULTS}.length + document.querySelector('#facets').children.length") == 0
        page.complaints.clear()  # the browser reports each answer of 400

    looking(look)


def test_a_token_that_is_no_good_is_asked_for_again(looking: Looking) -> None:
    """An expired token must not leave a page that says nothing."""

    async def look(page: Page) -> None:
        await page.run("document.querySelector('#token').value = 'Bearer a.b.c'")
        await page.run("document.querySelector('#sign-in').requestSubmit()")
        said = await page.until(
            "!document.querySelector('#problem').hidden && document.querySelector('#problem').textContent"
        )
        assert "The token is not accepted." in said
        assert await page.run("document.querySelector('#main').hidden && !document.querySelector('#sign-in').hidden")
        page.complaints.clear()  # the browser reports each answer of 401
        await page.run(f"document.querySelector('#token').value = {json.dumps(bearer())}")
        await page.run("document.querySelector('#sign-in').requestSubmit()")
        await page.until("!document.querySelector('#main').hidden && document.querySelector('#results li')")
        assert await page.run("document.querySelector('#problem').hidden")

    looking(look)


def test_it_fits_a_phone(looking: Looking) -> None:
    """Nothing is wider than the screen, and what is tapped is large enough."""

    async def look(page: Page) -> None:
        await page.size(390, 844, phone=True)
        assert await page.run("document.documentElement.scrollWidth") <= 390
        await page.until("document.querySelector('#map').viewBox.baseVal.width < 390")
        boxes = await page.run(
            "[...document.querySelectorAll('#map text')].map(one => one.getBoundingClientRect())"
            ".map(one => [one.left, one.right, one.top, one.bottom])"
        )
        assert all(bottom - top > 10 for *_, top, bottom in boxes), "a label that nobody can read"
        overlapping = [
            (a, b)
            for a, b in itertools.combinations(boxes, 2)
            if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
        ]
        assert not overlapping
        assert await page.run("document.querySelector('#q').getBoundingClientRect().height") >= 44
        heights = await page.run(
            "[...document.querySelectorAll('nav button')].map(one => one.getBoundingClientRect().height)"
        )
        assert min(heights) >= 40

    looking(look)
