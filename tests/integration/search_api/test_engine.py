"""The engine's client against a server that delays, cuts and answers with errors: no wrong answer, no endless wait."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest import mock

import pytest
import uvloop
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError

from search_api.deadline import Deadline
from search_api.engine import client, retry
from search_api.engine.breaker import Breaker, Limits, State
from search_api.engine.client import Answer, Engine, EngineUnavailable
from search_api.engine.target import Signer, Target
from search_api.exchange import Exchange
from search_api.failures import FAILURES
from search_api.problems import Problem
from search_api.telemetry import trace
from searchsync.errors import BadConnection, BadParams
from tests.certificates import self_signed
from tests.integration.search_api.engine_server import EngineServer, Received, replies, serving, status

OK = status(200)
SEARCH = ("POST", "/places/_search?x=a%20b%2Fc", b'{"query":{}}')


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    uvloop.run(bounded())


async def search(engine: Engine, seconds: float = 5) -> Answer:
    return await engine.send(*SEARCH, Deadline(seconds))


async def refused(engine: Engine, seconds: float = 5) -> EngineUnavailable:
    with pytest.raises(EngineUnavailable) as raised:
        await search(engine, seconds)
    assert raised.value.status == 503
    assert int(raised.value.headers["Retry-After"]) >= 1
    return raised.value


def test_bytes_go_and_come_as_they_are_over_kept_connections() -> None:
    async def test() -> None:
        async with serving(replies(OK)) as server, Engine(Target(server.url, "reader", "s3cret")) as engine:
            for _ in range(5):
                assert await search(engine) == Answer(200, b'{"status":200}')
            assert {(one.method, one.path, one.body) for one in server.received} == {SEARCH}
            assert len({one.connection for one in server.received}) == 1
            headers = server.received[0].headers
            assert headers["Authorization"] == "Basic cmVhZGVyOnMzY3JldA=="
            assert headers["Content-Type"] == "application/json"
            assert headers["Accept-Encoding"] == "identity"
            with trace(Exchange({}, "a-request", Deadline(5))):
                await search(engine)
            assert server.received[-1].headers["X-Opaque-Id"] == "a-request", "OpenSearch's slow log names the request"

    run(test)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413])
def test_what_the_request_is_to_blame_for_is_asked_once_and_counts_for_nothing(code: int) -> None:
    async def test() -> None:
        async with serving(replies(status(code))) as server:
            breaker = Breaker(Limits(calls=1))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                assert (await search(engine)).status == code
            assert len(server.received) == 1
            assert breaker.state is State.CLOSED

    run(test)


@pytest.mark.parametrize("trouble", [None, *(status(code) for code in (429, 500, 502, 503, 504))])
def test_two_failures_are_not_seen(trouble: web.Response | None) -> None:
    """A cut connection and each answer that the server is to blame for."""

    async def test() -> None:
        async with serving(replies(trouble, trouble, OK)) as server, Engine(Target(server.url)) as engine:
            began = time.monotonic()
            assert (await search(engine)).status == 200
            assert time.monotonic() - began >= 0.15, "pauses of at least 50 and 100 ms"
            assert len(server.received) == 3

    run(test)


def test_after_three_failures_it_says_so() -> None:
    async def test() -> None:
        async with serving(replies(status(503))) as server, Engine(Target(server.url)) as engine:
            await refused(engine)
            assert len(server.received) == 3

    run(test)


def test_it_waits_as_long_as_it_is_asked_to_but_not_beyond_the_deadline() -> None:
    async def test() -> None:
        async with serving(replies(status(429, retry_after="1"), OK)) as server, Engine(Target(server.url)) as engine:
            began = time.monotonic()
            assert (await search(engine)).status == 200
            assert time.monotonic() - began >= 1
        async with serving(replies(status(429, retry_after="60"))) as server, Engine(Target(server.url)) as engine:
            began = time.monotonic()
            assert (await refused(engine)).headers["Retry-After"] == "60"
            assert time.monotonic() - began < 10
            assert len(server.received) == 1

    run(test)


def test_a_server_that_does_not_answer_is_given_up_before_the_deadline_and_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A search that takes long would take long again, and OpenSearch would have to do it twice."""
    monkeypatch.setattr(client, "RESERVE_SECONDS", 5.0)  # more than a busy machine takes for itself

    async def test() -> None:
        async with serving(never) as server:
            breaker = Breaker(Limits(calls=1))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                began = time.monotonic()
                await refused(engine, 6.3)
                assert 1.2 < time.monotonic() - began < 6.3
                await server.until(lambda server: server.left == 1)
            assert len(server.received) == 1
            assert breaker.state is State.OPEN

    run(test)


def test_a_search_that_opensearch_broke_off_is_no_answer() -> None:
    """It has status 200 and some of the hits: to pass it on would be a wrong answer, and OpenSearch is not well."""

    async def test() -> None:
        broken = web.Response(body=b'{"took":4001,"timed_out":true,"_shards":{"total":1},"hits":{"hits":[]}}')
        async with serving(replies(broken)) as server:
            breaker = Breaker(Limits(calls=1))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                await refused(engine)
            assert len(server.received) == 1
            assert breaker.state is State.OPEN
        whole = web.Response(body=b'{"took":1,"timed_out":false,"hits":{"hits":[{"note":"\\"timed_out\\":true"}]}}')
        async with serving(replies(whole)) as server, Engine(Target(server.url)) as engine:
            assert (await search(engine)).body == whole.body

    run(test)


def test_an_answer_that_is_too_large_is_refused_once_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is in memory as a whole; and the same question would have the same answer again."""
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1_000)

    async def test() -> None:
        async with serving(replies(web.Response(body=b" " * 1_001))) as server:
            breaker = Breaker(Limits(calls=1))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                with pytest.raises(Problem) as raised:
                    await search(engine)
            assert (raised.value.status, raised.value.code) == (400, "answer-too-large")
            assert "fields" in raised.value.next_step
            assert len(server.received) == 1
            assert breaker.state is State.CLOSED

    run(test)


def test_who_had_hardly_any_time_does_not_accuse_the_server() -> None:
    """Else requests that waited long elsewhere would open the breaker for all."""

    async def test() -> None:
        async with serving(replies(OK)) as server:
            breaker = Breaker(Limits(calls=2))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                await search(engine)  # there is a connection now, so a request would go out at once
                server.act = never
                await refused(engine, 0.5)
                assert len(server.received) == 2
                server.act = replies(OK)
                await search(engine)
                for seconds in (0.1, 0, -1):
                    await refused(engine, seconds)
                await asyncio.sleep(0.1)
                assert len(server.received) == 3, "with nothing left, it is not even asked"
            assert breaker.state is State.CLOSED

    run(test)


def test_whoever_goes_away_closes_the_connection_and_frees_the_place() -> None:
    """OpenSearch stops a search when its connection is closed."""

    async def test() -> None:
        async with serving(never) as server:
            breaker = Breaker(Limits(calls=1))
            async with Engine(Target(server.url), breaker=breaker, at_once=1) as engine:
                for count in (1, 2):
                    task = asyncio.create_task(search(engine))
                    await server.until(lambda server, count=count: len(server.received) == count)  # type: ignore[misc]
                    task.cancel()
                    await server.until(lambda server, count=count: server.left == count)  # type: ignore[misc]
                assert engine.in_flight == 0
            assert breaker.state is State.CLOSED, "it says nothing about the server"

    run(test)


def test_an_overload_is_refused_at_once() -> None:
    """Two are under way, three wait, and the sixth hears so in no time: no queue grows without end."""

    async def test() -> None:
        gate = asyncio.Event()

        async def wait(_: Received) -> web.Response:
            await gate.wait()
            return status(200)

        async with serving(wait) as server, Engine(Target(server.url), at_once=2, waiting=3) as engine:
            tasks = [asyncio.create_task(search(engine)) for _ in range(5)]
            await server.until(lambda server: server.running == 2)
            began = time.monotonic()
            await refused(engine)
            assert time.monotonic() - began < 3
            tasks.pop().cancel()
            await asyncio.sleep(0)
            impatient = asyncio.create_task(refused(engine, 0.4))
            await impatient
            gate.set()
            assert [one.status for one in await asyncio.gather(*tasks)] == [200] * 4
            assert server.most == 2
            assert len(server.received) == 4
            assert engine.in_flight == 0
            assert engine.breaker.state is State.CLOSED

    run(test)


def test_a_server_that_is_away_is_left_alone_and_found_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with serving(replies(status(500))) as server:
            breaker = Breaker(Limits(calls=6, pause=0.3, probes=2))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                await refused(engine)
                await refused(engine)
                assert len(server.received) == 6
                failures = FAILURES.labels("opensearch")._value.get()
                with mock.patch.object(retry, "pause") as pause:
                    await refused(engine)
                assert not pause.called, "it says so at once"
                assert len(server.received) == 6, "nobody asks while it is open"
                assert FAILURES.labels("opensearch")._value.get() == failures + 1
                server.act = replies(OK)
                await asyncio.sleep(breaker.retry_after)
                assert [(await search(engine)).status for _ in range(2)] == [200, 200]
                assert breaker.admit() is not None

    run(test)
    said = [one.message for one in caplog.records if one.name == "search_api.engine.client"]
    assert said == ["OpenSearch fails: it gets no search for 0 s", "OpenSearch answers again"], "each once"


def test_what_runs_in_the_background_is_neither_counted_nor_held_up() -> None:
    """A poll each second would hide that most searches fail; and while the breaker is open it must still see swaps."""

    async def test() -> None:
        async with serving(replies(status(500))) as server:
            breaker = Breaker(Limits(calls=1))
            async with Engine(Target(server.url), breaker=breaker) as engine:
                with pytest.raises(EngineUnavailable):
                    await engine.once("GET", "/places/_alias", None, Deadline(2))
                assert len(server.received) == 1
                assert breaker.state is State.CLOSED
                breaker.failed(breaker.admit() or 0)
                server.act = replies(OK)
                assert (await engine.once("GET", "/places/_alias", None, Deadline(2))).status == 200

    run(test)


def test_half_an_answer_is_no_answer() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(half, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Engine(Target(f"http://127.0.0.1:{port}")) as engine:
            await refused(engine)

    run(test)


def test_a_server_that_takes_no_connection_is_tried_again_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RESERVE_SECONDS", 5.2)  # more than a busy machine takes for itself

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            port = full.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)):  # the only place; a further connection hangs
                breaker = Breaker(Limits(calls=2))
                async with Engine(Target(f"http://127.0.0.1:{port}"), breaker=breaker) as engine:
                    began = time.monotonic()
                    await refused(engine, 7.8)
                    assert 2 < time.monotonic() - began < 7.8, "two attempts of a second"
                assert breaker.state is State.OPEN
        async with Engine(Target(f"http://127.0.0.1:{port}")) as engine:  # nobody listens
            await refused(engine)

    run(test)


def test_only_a_trusted_certificate_is_spoken_to(tmp_path: Path) -> None:
    async def test() -> None:
        trusted, context = self_signed(tmp_path)
        async with serving(replies(OK), tls=context) as server:
            async with Engine(Target(server.url, "reader", "s3cret")) as engine:
                await refused(engine)
            assert not server.received
            async with Engine(Target(server.url, ca_certs=str(trusted))) as engine:
                assert (await search(engine)).status == 200
            named = server.url.replace("127.0.0.1", "localhost")  # the certificate is for the number alone
            async with Engine(Target(named, ca_certs=str(trusted))) as engine:
                await refused(engine)

    run(test)


def test_a_request_is_signed_as_it_is_sent() -> None:
    """The server computes the signature anew from what arrived, as AWS does."""
    credentials = Credentials("AKID", "secret", "token")

    async def test() -> None:
        async with serving(replies(OK)) as server:
            signer = Signer(credentials, "eu-central-1", "es")
            async with Engine(Target(server.url, signer=signer)) as engine:
                await search(engine)
                await engine.send("GET", "/places/_alias", None, Deadline(5))
            for received in server.received:
                assert received.headers["Authorization"] == expected_signature(credentials, server, received)
                assert received.headers["X-Amz-Security-Token"] == "token"

    run(test)


class Renewed:
    """Credentials that AWS gives, or does not."""

    asked = 0
    error: Exception | None = None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        self.asked += 1
        if self.error:
            raise self.error
        return ReadOnlyCredentials("AKID", "secret", "token")


@pytest.mark.parametrize(
    "error",
    [
        CredentialRetrievalError(provider="a role", error_msg="AWS is away"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "AWS is away"}}, "AssumeRoleWithWebIdentity"),
        RuntimeError("AWS is away: the credentials were refreshed, and are still expired"),
    ],
    ids=["no role", "refused", "expired"],
)
def test_credentials_are_asked_for_once_a_minute_and_their_absence_is_not_opensearchs_fault(error: Exception) -> None:
    async def test() -> None:
        credentials = Renewed()
        async with serving(replies(OK)) as server:
            breaker = Breaker(Limits(calls=1))
            target = Target(server.url, signer=Signer(credentials, "eu-central-1", "es"))
            async with Engine(target, breaker=breaker) as engine:
                await asyncio.gather(*(search(engine) for _ in range(5)))
                assert credentials.asked == 1
                target.signer._end = 0.0  # type: ignore[union-attr]
                credentials.error = error
                assert "AWS is away" not in (await refused(engine)).detail
                assert breaker.state is State.CLOSED
                credentials.error = None
                assert (await search(engine)).status == 200

    run(test)


def expected_signature(credentials: Credentials, server: EngineServer, received: Received) -> str:
    host = received.headers["Host"]
    request = AWSRequest(received.method, f"http://{host}{received.path}", data=received.body or None)
    names = received.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"} <= set(names)
    for name in names:
        request.headers[name] = received.headers[name]
    request.context["timestamp"] = received.headers["X-Amz-Date"]
    auth = SigV4Auth(credentials, "es", "eu-central-1")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    scope = f"AKID/{received.headers['X-Amz-Date'][:8]}/eu-central-1/es/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(names)}, Signature={signature}"


async def never(_: Received) -> None:
    await asyncio.sleep(60)


class Variables:
    """The environment of the service."""

    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("URL", "USER", "PASSWORD", "AWS_SERVICE", "CA_CERTS"):
            monkeypatch.delenv(f"SEARCHSYNC_OPENSEARCH_{name}", raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class TestTarget(Variables):
    def test_it_is_what_the_library_uses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "https://search.example.com")
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_USER", "reader")
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_PASSWORD", "s3cret")
        target = Target.from_environment()
        assert (target.url, target.user, target.password) == ("https://search.example.com", "reader", "s3cret")
        assert "s3cret" not in repr(target)
        assert target.tls().verify_mode is ssl.CERT_REQUIRED
        assert target.tls().check_hostname

    @pytest.mark.parametrize(
        "url", ["", "search.example.com", "ftp://a", "https://u:p@a", "https://a/path", "https://a?x", "https://"]
    )
    def test_what_is_no_address_is_refused(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", url)
        with pytest.raises(BadParams) as raised:
            Target.from_environment()
        assert "u:p" not in str(raised.value)

    def test_a_signature_needs_credentials_and_region(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "https://search.example.com")
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_AWS_SERVICE", "es")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(BadConnection, match="credentials"):
            Target.from_environment()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        with pytest.raises(BadConnection, match="region"):
            Target.from_environment()
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        assert Target.from_environment().signer is not None
