"""When DynamoDB lets an item expire, by the rule that index and comparison share."""

import math
import re
from decimal import Decimal
from typing import Any

from searchsync.documents.dynamodb_values import decode_value

LAST_SECOND = 9_223_372_036_854_775
"""Last second, since the epoch, that OpenSearch has a date for: it keeps milliseconds in 64 bits."""

_SECONDS = re.compile(r"-?\d+(\.\d{1,9})?", re.ASCII)


def expiry(kind: str, value: Any) -> Any:
    """Return when DynamoDB lets an item expire, in seconds since the epoch, so that index and comparison agree.

    Return None when the item never expires. This has two causes: DynamoDB ignores everything that is not a number,
    whatever it looks like
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html), and a
    number beyond the dates of OpenSearch is 292 million years away. Every other number stays as it is written, if
    OpenSearch accepts it as a date; one with an exponent or more than nine decimals is rounded up.

    :param kind: type of the attribute
    :param value: what stands under the type
    :raises BadItem: when this is no value of the type
    """
    number = decode_value(kind, value)
    if kind != "N":
        return None
    if isinstance(number, int) and 0 <= number <= LAST_SECOND:
        return number
    second = math.ceil(Decimal(value))
    if abs(second) > LAST_SECOND:
        return None
    return number if _SECONDS.fullmatch(value) else second
