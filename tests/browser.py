"""A real browser, driven over its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
)
_SECONDS = 30.0


@dataclass
class Page:
    """One page of a browser.

    :ivar complaints: exceptions, errors of the console, and what the content security policy has blocked
    """

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    async def listen(self) -> None:
        async for message in self.socket:
            said = json.loads(message.data)
            if (future := self._waiting.pop(said.get("id"), None)) is not None:
                if future.done():
                    continue  # nobody waits any more
                if "error" in said:
                    future.set_exception(RuntimeError(str(said["error"])))
                else:
                    future.set_result(said["result"])
            elif said.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))
            elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(str(said["params"]["entry"]))

    async def send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        target = {"sessionId": self.session} if self.session else {}
        await self.socket.send_json({"id": number, "method": method, "params": params, **target})
        async with asyncio.timeout(_SECONDS):
            return await self._waiting[number]

    async def go(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait for an expression to be true, and return its value; of a node, that it is there.

        A node of a page made with React carries React's whole tree. To serialize that takes the browser half a minute.
        """
        found = f"(found => found instanceof Node || found)({expression})"
        async with asyncio.timeout(_SECONDS):
            while True:
                with suppress(AssertionError, RuntimeError):  # the page is not there yet
                    if (value := await self.run(found)) not in (None, False, 0, ""):
                        return value
                await asyncio.sleep(0.02)

    async def type(self, text: str) -> None:
        for character in text:
            await self.send("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            await self.send("Input.dispatchKeyEvent", type="keyUp", key=character)

    async def press(self, key: str) -> None:
        text = {"Enter": "\r"}.get(key)
        extra = {"text": text} if text else {}
        code = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}[key]
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        taken = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(taken["data"])


@contextmanager
def running() -> Iterator[str]:
    """A browser of the tests' own. Yields where it is driven."""
    assert PROGRAM
    with tempfile.TemporaryDirectory(prefix="searchsync-browser-", ignore_cleanup_errors=True) as folder:
        command = [PROGRAM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            said: list[str] = []
            try:
                for line in process.stderr:
                    said.append(line)
                    if line.startswith("DevTools listening on "):
                        yield line.split()[-1]
                        return
                raise AssertionError(f"the browser does not start: {said}")
            finally:
                process.kill()


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Page]:
    """A new page of a browser, which knows nothing of the others."""
    async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
        page = Page(socket)
        listening = asyncio.create_task(page.listen())
        context = (await page.send("Target.createBrowserContext"))["browserContextId"]
        target = (await page.send("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        page.session = (await page.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await page.send(f"{domain}.enable")
        yield page
        listening.cancel()
