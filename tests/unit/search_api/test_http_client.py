"""The HTTP client against a server that says what it likes: an answer is the one to its question, or there is none."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from search_api import http_client
from search_api.http_client import BrokenAnswer, HttpClient, TooLarge

LARGEST = 1_000


class Server:
    """Answers each request with the next of some texts; with None it closes the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.received: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while head := await _head(reader):
            self.received.append(head)
            answer = self.answers.pop(0)
            if answer is None:
                break
            writer.write(answer)
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(lines) + body


def run(server: Server, test: Callable[[HttpClient], Awaitable[None]]) -> None:
    async def bounded() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        client = HttpClient(url, tls=ssl.create_default_context, headers={"A": "b"}, largest=LARGEST)
        async with asyncio.timeout(10), listening:
            try:
                await test(client)
            finally:
                client.close()

    asyncio.run(bounded())


async def get(client: HttpClient) -> bytes:
    return (await client.ask("GET", "/", {})).body


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n"


def test_answers_of_each_form_come_over_one_connection() -> None:
    server = Server(ok(b"one", b"Retry-After: 7"), CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n", ok(b""))

    async def test(client: HttpClient) -> None:
        first = await client.ask("GET", "/a?b=c", {"X-Opaque-Id": "me"}, b"")
        assert (first.status, first.body, first.headers[b"retry-after"]) == (200, b"one", b"7")
        assert [await get(client) for _ in range(3)] == [b"onetwo!", b"", b""]
        lines = server.received[0].split(b"\r\n")
        assert lines[0] == b"GET /a?b=c HTTP/1.1"
        assert {b"A: b", b"X-Opaque-Id: me", b"Content-Length: 0"} < set(lines)
        assert server.connections == 1

    run(server, test)


@pytest.mark.parametrize("second", [ok(b"of somebody else"), b"HTTP/1.1 200 OK\r\n", b"rubbish"])
@pytest.mark.parametrize("together", [True, False])
def test_what_comes_after_an_answer_is_no_answer_to_the_next_question(second: bytes, *, together: bool) -> None:
    """It would be another tenant's documents."""
    server = Server(ok(b"one") + (second if together else b""), ok(b"two"))

    async def test(client: HttpClient) -> None:
        try:
            assert await get(client) == b"one"
        except BrokenAnswer:
            assert together
        if not together:
            server.writers[0].write(second)
            await asyncio.sleep(0.05)
        assert await get(client) == b"two"
        assert server.connections == 2

    run(server, test)


def test_whoever_gives_up_leaves_no_answer_for_the_next() -> None:
    server = Server(b"", ok(b"two"))

    async def test(client: HttpClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await get(client)
        server.writers[0].write(ok(b"one"))
        assert await get(client) == b"two"

    run(server, test)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\n\r\nwithout an end",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_a_broken_answer_is_none(answer: bytes | None) -> None:
    server = Server(answer, ok(b"two"))

    async def test(client: HttpClient) -> None:
        asking = asyncio.create_task(get(client))
        while not server.received:  # noqa: ASYNC110  # what the server counts has no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        server.writers[0].close()
        with pytest.raises(BrokenAnswer):
            await asking
        assert await get(client) == b"two"

    run(server, test)


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"x" * (LARGEST + 1)),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"100\r\n%b\r\n" % (b"x" * 256) * 4,
    ],
)
def test_an_answer_that_is_too_large_is_not_read_to_its_end(answer: bytes) -> None:
    """Else a few of them are more than the memory."""
    server = Server(answer, ok(b"x" * LARGEST))

    async def test(client: HttpClient) -> None:
        with pytest.raises(TooLarge):
            await get(client)
        assert len(await get(client)) == LARGEST
        assert server.connections == 2

    run(server, test)


def test_a_connection_that_the_server_closes_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that it says it closes, one that it has closed, and one that it may be about to close."""
    server = Server(ok(b"1", b"connection: close"), *(ok(b"%d" % number) for number in (2, 3, 4)))

    async def test(client: HttpClient) -> None:
        assert [await get(client), await get(client)] == [b"1", b"2"]
        assert server.connections == 2
        server.writers[1].close()
        await asyncio.sleep(0.05)
        assert await get(client) == b"3"
        monkeypatch.setattr(http_client, "IDLE_SECONDS", -1.0)
        assert await get(client) == b"4"
        assert server.connections == 4

    run(server, test)


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/a\r\nX: y", {}), ("/", {"X": "a\r\nY: b"}), ("/", {"X\r\nY": "a"}), ("/", {"X": "a\nY: b"})],
)
def test_no_value_adds_a_line_to_a_request(path: str, headers: dict[str, str]) -> None:
    async def test(client: HttpClient) -> None:
        with pytest.raises(ValueError, match="another line"):
            await client.ask("GET", path, headers)

    run(Server(), test)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://search.example.com", b"search.example.com"),
        ("http://search.example.com:80/", b"search.example.com"),
        ("https://search.example.com:9200", b"search.example.com:9200"),
        ("https://[::1]", b"[::1]"),
    ],
)
def test_the_server_is_named_as_a_signature_names_it(url: str, host: bytes) -> None:
    """AWS computes the signature with the host that it is asked for."""
    sent: list[bytes] = []

    class Recorder(http_client._Connection):
        def ask(self, request: bytes) -> asyncio.Future[http_client.Response]:
            sent.append(request)
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(http_client.Response(200, {}, b""))
            return answer

    async def test() -> None:
        client = HttpClient(url, tls=ssl.create_default_context, headers={}, largest=LARGEST)
        recorder = Recorder(LARGEST)
        recorder.usable, recorder.used_at = True, float("inf")
        client._kept.append(recorder)
        await client.ask("GET", "/", {})

    asyncio.run(test())
    assert b"\r\nHost: " + host + b"\r\n" in sent[0]
