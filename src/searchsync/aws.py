"""What errors of AWS mean. The error's code says where the fault is; the status does not (SQS throttles with 400)."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.config import Config

from searchsync.errors import BadConnection, SearchSyncError

CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 10}, connect_timeout=5, read_timeout=30)
"""Configuration of every client. botocore alone makes 3 attempts, 4 for DynamoDB: they are over within two seconds."""

_BUSY = {"OverLimit", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceeded", "TooManyRequests", "SlowDown"}
_BUSY |= {"PriorRequestNotComplete", "RequestTimeout", "ProvisionedThroughputExceeded", "TransactionInProgress"}
NOT_SET_UP = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.NoRegionError,
    exceptions.InvalidRegionError,
    exceptions.ProfileNotFound,
    exceptions.ConfigNotFound,
    exceptions.ConfigParseError,
)
HOW_TO_SET_UP = (
    "Set the credentials (a role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and AWS_DEFAULT_REGION; "
    "in Airflow, the AWS connection"
)


@contextmanager
def errors(what: str, away: type[SearchSyncError]) -> Iterator[None]:
    """Raise each error of boto3 in this block as an error of ours.

    :param what: name of the service or resource that is asked, for the message
    :param away: error to raise when the service does not answer, fails or throttles: trying again later may help
    :raises BadConnection: when the address, the credentials, the region or a permission must be changed first
    """
    try:
        yield
    except exceptions.ClientError as error:
        code = code_of(error)
        said = f"{what}: {code}: {error.response['Error'].get('Message', '')}"
        if is_busy(code) or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500:
            raise away(f"{said}. Run it again later") from error
        raise BadConnection(f"{said}. Check the address and the role's permissions") from error
    except NOT_SET_UP as error:
        raise BadConnection(f"{what}: {error}. {HOW_TO_SET_UP}") from error
    except exceptions.BotoCoreError as error:
        raise away(f"{what} does not answer: {error}") from error


def code_of(error: exceptions.ClientError) -> str:
    """Return the error's code without the name of the service, which older protocols put before it."""
    return str(error.response["Error"]["Code"]).rsplit(".", 1)[-1]


def is_busy(code: str) -> bool:
    """Return whether a code says that there is too much load. Then the same request may succeed later.

    The codes are those of botocore's own list, of SQS (``OverLimit``: too many messages are received and not yet
    deleted), and of SQS about KMS (``KmsThrottled``).
    """
    return "Throttl" in code or code.removesuffix("Exception") in _BUSY
