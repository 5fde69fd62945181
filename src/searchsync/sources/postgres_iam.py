"""The login at a PostgreSQL of Amazon RDS by IAM: a token in place of a password, made anew for each connection.

A token is good for 15 minutes. A connection that is open stays open after that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from searchsync import aws
from searchsync.errors import BadConnection, BadParams, SourceUnavailable

_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


def is_wanted(said: object, name: str) -> bool:
    """Return whether a connection logs in by IAM. Raise BadParams if what is said means neither yes nor no.

    :param said: what its setting holds
    :param name: name of the setting, for the message
    """
    text = str(said).strip().lower()
    if text not in _YES + _NO:
        raise BadParams(f"{name} is {said!r}: it has to be true or false. Nothing was read; correct it")
    return text in _YES


@dataclass(frozen=True)
class IamLogin:
    """A connection string with a token in it, another one at each call.

    :param dsn: libpq connection string without a password; ``sslmode`` has to be ``verify-full``
    :param name: name of the connection, for messages
    :param rds: makes boto3's client of RDS
    :raises BadConnection: when the string names no single server, no user or a password, or checks no certificate
    """

    dsn: str
    name: str
    rds: Callable[[], Any] = field(repr=False)

    def __post_init__(self) -> None:
        reasons = _problems(_parts(self.dsn, self.name))
        if reasons:
            raise BadConnection(
                f"{self.name} logs in by a token of IAM, but {'; '.join(reasons)}. Nothing was read; correct the "
                "connection"
            )

    def __call__(self) -> str:
        """Return the connection string with a new token. Never log or store it.

        :raises BadConnection: when AWS gives this process no credentials or no region
        :raises SourceUnavailable: when AWS does not answer
        """
        parts = _parts(self.dsn, self.name)
        with aws.errors(f"{self.name}: the token of {parts['user']}", SourceUnavailable):
            token = self.rds().generate_db_auth_token(
                DBHostname=parts["host"], Port=int(parts.get("port") or 5432), DBUsername=parts["user"]
            )
        return make_conninfo(self.dsn, password=token)


def _parts(dsn: str, name: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:  # its text is left out: it may hold a password
        raise BadConnection(
            f"{name}: the connection string is not one that PostgreSQL's client understands. Nothing was read; "
            "correct the connection"
        ) from None


def _problems(parts: dict[str, Any]) -> list[str]:
    """Return what keeps a token from the one server that it is for."""
    host = str(parts.get("host") or "")
    found = []
    if not host or "," in host or host.startswith("/") or parts.get("hostaddr"):
        found.append("it does not name one host: a token is good for one alone")
    if not parts.get("user"):
        found.append("it names no user")
    if parts.get("password"):
        found.append("it has a password, too: take the password away, or do not log in by IAM")
    if parts.get("sslmode") != "verify-full":
        found.append(
            f"its sslmode is {parts.get('sslmode') or 'not set'}: whoever answers in the server's place would get the "
            "token. Set sslmode=verify-full, and sslrootcert to the file with the certificates of RDS"
        )
    return found
