"""Answers whose items are left alone: all else has to be as botocore itself says it, faults included."""

import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from searchsync.aws import CONFIG
from searchsync.catalog import entity
from searchsync.errors import SourceUnavailable
from searchsync.sources import dynamodb_table
from searchsync.sources.dynamodb import DynamoSource, Segment
from searchsync.sources.dynamodb_answers import Items, as_they_came
from tests.members import session

DATE = {"Date": "Mon, 30 Nov 2026 01:00:00 GMT"}
ITEM = {
    "member_id": {"S": "m-1"}, "name": {"S": "Zoë"}, "b": {"B": "AP8="}, "n": {"N": "1.10"},
    "m": {"M": {"l": {"L": [{"NULL": True}, {"BS": ["AA=="]}]}}}, "set": {"SS": ["b", "a"]},
}  # fmt: skip
CAPACITY = {"CapacityUnits": 0.5, "TableName": "members"}
PAGE = {"ConsumedCapacity": CAPACITY, "Count": 2, "Items": [ITEM, ITEM], "ScannedCount": 2}


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


class Answering:
    """A client that gets given answers, the last of them again and again, where HTTP would bring them."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.asked = 0
        self._answers = answers
        config = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 3}))
        self.client = session().client("dynamodb", endpoint_url="http://localhost:1", config=config)
        self.client.meta.events.register("before-send.dynamodb", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        assert request.headers["Authorization"].startswith(b"AWS4-HMAC-SHA256"), "signed by botocore"
        status, headers, body = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return AWSResponse(request.url, status, {**DATE, **headers}, Raw(body))


def body_of(page: Any) -> bytes:
    return json.dumps(page, ensure_ascii=False).encode()


def outcome(client: Any, answering: Answering) -> Any:
    """What a caller sees of an answer, without the items, and how often it was asked for."""
    try:
        answer = client.scan(TableName="members")
    except Exception as error:
        return type(error).__name__, str(error), answering.asked
    items = answer.pop("Items", None)
    return answer, items if items is None else len(items), answering.asked


def error(code: str) -> bytes:
    return body_of({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "why"})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


GOOD: tuple[int, dict[str, str], bytes] = (200, {}, body_of(PAGE))


@pytest.mark.parametrize(
    "answers",
    [
        [GOOD],
        [(200, {"x-amz-crc32": str(zlib.crc32(GOOD[2])), "x-amzn-RequestId": "r-1"}, GOOD[2])],
        [(200, {"x-amz-crc32": "1"}, GOOD[2]), GOOD],
        [(200, {"x-amz-crc32": "1"}, GOOD[2][:-5]), GOOD],
        [(200, {}, GOOD[2][:-5])],
        [(200, {}, b"")],
        [(200, {}, b"[]")],
        [(200, {}, b"<html>a proxy</html>")],
        [(200, {}, b"\xff")],
        [(200, {}, body_of({**PAGE, "Items": None}))],
        [(200, {}, body_of({**PAGE, "Items": 5}))],
        [(200, {}, body_of({**PAGE, "LastEvaluatedKey": {"member_id": {"S": "m-1"}}, "Unknown": [{"S": "x"}]}))],
        [(200, {}, b'{"Count": 1, "Count": 2, "Items": [], "Items": [{}], "ScannedCount": 18446744073709551617}')],
        [(400, {}, error("ResourceNotFoundException"))],
        [(400, {}, error("ProvisionedThroughputExceededException"))],
        [(400, {}, error("ThrottlingException")), GOOD],
        [(400, {}, error("ExpiredTokenException"))],
        [(500, {}, error("InternalServerError")), GOOD],
        [(500, {}, b"<html>")],
        [(503, {}, b"")],
        [(403, {}, b"no JSON")],
    ],
)
def test_all_but_the_items_is_as_botocore_says_it(answers: list[tuple[int, dict[str, str], bytes]]) -> None:
    one, two = Answering(*answers), Answering(*answers)
    assert outcome(as_they_came(one.client), one) == outcome(two.client, two)


def test_items_are_those_of_the_answer_and_the_given_client_stays_as_it_is() -> None:
    answering = Answering(GOOD)
    items = as_they_came(answering.client).scan(TableName="members")["Items"]
    assert isinstance(items, Items)
    assert list(items) == list(items) == [ITEM, ITEM]
    assert answering.client.scan(TableName="members")["Items"][0]["b"] == {"B": b"\x00\xff"}


def test_keys_that_are_read_come_so_too() -> None:
    answer = {"Responses": {"members": [ITEM]}, "ConsumedCapacity": [CAPACITY],
              "UnprocessedKeys": {"members": {"Keys": [{"member_id": {"S": "m-2"}}]}}}  # fmt: skip
    answering = Answering((200, {}, body_of(answer)))
    asked = {"members": {"Keys": [{"member_id": {"S": "m-1"}}]}}
    found = as_they_came(answering.client).batch_get_item(RequestItems=asked)
    assert {name: found[name] for name in answer} == answer


def test_credentials_that_change_are_those_of_the_given_client() -> None:
    answering = Answering(GOOD)
    client = as_they_came(answering.client)
    assert client._request_signer is answering.client._request_signer
    assert client._endpoint.http_session is answering.client._endpoint.http_session
    assert client.meta is answering.client.meta


def test_another_client_is_used_as_it_is() -> None:
    """A wrapper, a fake, or a client of a botocore that is made in another way."""
    stranger = object()
    assert as_they_came(stranger) is stranger
    client = Answering(GOOD).client
    del client._endpoint._response_parser_factory
    assert as_they_came(client) is client


def test_an_item_with_half_a_letter_is_poison_and_the_others_are_read() -> None:
    """No table has one; an emulator may. The fast decoder refuses it, and with it the whole page."""
    spoilt = {"member_id": {"S": "m-2"}, "name": {"S": "\ud800"}}
    body = json.dumps({**PAGE, "Items": [ITEM, spoilt, ITEM]}).encode()
    (page,) = DynamoSource(entity("members"), Answering((200, {}, body)).client).pages(Segment(0, 1))
    assert (page.count, [one.id for one in page.rejected]) == (2, ["m-2"])
    assert page.rejected[0].type == "malformed"


def test_the_source_of_a_given_client_and_that_of_a_wrapped_one_make_the_same_documents() -> None:
    class Wrapped:
        def __init__(self, client: Any) -> None:
            self.scan = client.scan

    body = body_of({**PAGE, "Items": [{**ITEM, "tags": {"BS": ["/w==", "AA=="]}, "status": {"B": "AP8="}}]})
    answering = Answering((200, {}, body))
    pages = [
        next(iter(DynamoSource(entity("members"), client).pages(Segment(0, 1))))
        for client in (answering.client, Wrapped(answering.client))
    ]
    sources = [line.source.split(b'"bucket"')[1] for page in pages for line in page.documents()]
    assert sources[0] == sources[1]
    assert b'"status":"AP8=","tags":["/w==","AA=="]' in sources[0]


PARTS: list[dict[str, Any]] = [
    {"Items": None}, {"Items": 5}, {"Items": "x"}, {"Items": {"a": 1}}, {"LastEvaluatedKey": 5},
    {"ConsumedCapacity": None}, {"ConsumedCapacity": 5}, {"ConsumedCapacity": {}},
    {"ConsumedCapacity": {"CapacityUnits": "x"}},
]  # fmt: skip
RESPONSES: list[Any] = [None, 5, {"members": 5}, {"members": [5]}, {"members": ["x"]}]
FOREIGN = [
    *(b"{}", b"[]", b"5", b"null", b"<html>log in</html>", b'{"message": "log in"}'),
    *(body_of({**PAGE, **parts}) for parts in PARTS),
    *(body_of({"ConsumedCapacity": [CAPACITY], "Responses": found}) for found in RESPONSES),
]


@pytest.mark.parametrize("body", FOREIGN)
@pytest.mark.parametrize("way", ["scan", "read", "fingerprints", "check"])
def test_an_answer_of_somebody_else_is_no_state_of_the_table(
    body: bytes, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's login page has the status 200. Taken for an empty page, it would delete every document."""
    monkeypatch.setattr(dynamodb_table, "PATIENCE_SECONDS", 0)
    source = DynamoSource(entity("members"), Answering((200, {}, body)).client)
    ways = {
        "scan": lambda: list(source.pages(Segment(0, 1))),
        "read": lambda: source.read(["m-1"]),
        "fingerprints": source.fingerprints,
        "check": source.check,
    }
    with pytest.raises(SourceUnavailable, match=r"table members: an answer is none of DynamoDB's .* a login page"):
        ways[way]()


def test_the_table_is_asked_again_when_somebody_else_answered() -> None:
    answering = Answering((200, {}, b"<html>log in</html>"), GOOD)
    (page,) = DynamoSource(entity("members"), answering.client).pages(Segment(0, 1))
    assert (page.count, answering.asked) == (2, 2)
