"""One check: what it looks at, why that matters, and what to do when it is not as it should be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from opensearchpy.exceptions import AuthorizationException

from searchsync.aws import code_of
from searchsync.errors import BadConnection, SearchSyncError


class Outcome(StrEnum):
    """What came out of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    NOT_ALLOWED = "not_allowed"
    OPEN = "open"
    """Of an item of ``readiness``: nobody has shown it to be so."""


class NotApplicable(Exception):
    """There is nothing to look at here. The text says why."""


class NotAsItShould(Exception):
    """What was to be looked at is not there, or is there twice. The text says it."""


@dataclass(frozen=True)
class Finding:
    """What a look showed.

    :ivar seen: in a few words
    :ivar problems: what is not as it should be; none is good
    """

    seen: str
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Result:
    """A line of the table: what was looked at, and what came out.

    :ivar seen: what is there, or why nothing could be seen
    :ivar why: what would happen if it were otherwise
    :ivar fix: the next step; empty when nothing has to be done
    """

    check: str
    subject: str
    outcome: Outcome
    seen: str
    why: str
    fix: str


@dataclass(frozen=True)
class Check:
    """Something that can be looked at.

    :ivar name: what is checked, such as ``alarm``
    :ivar subject: of which thing, such as a queue's name
    :ivar look: looks, and changes nothing. It may raise ``NotApplicable``, and errors of AWS and of ours
    """

    name: str
    subject: str
    why: str
    fix: str
    look: Callable[[], Finding]

    def run(self) -> Result:
        """Look, and say what came out; whatever stands in the way is an outcome, too."""
        try:
            found = self.look()
        except NotApplicable as reason:
            return self._result(Outcome.NOT_APPLICABLE, str(reason))
        except (NotAsItShould, ClientError, BotoCoreError, SearchSyncError) as error:
            return self._stopped(error)
        if found.problems:
            return self._result(Outcome.FAILED, "; ".join(found.problems), self.fix)
        return self._result(Outcome.PASSED, found.seen)

    def _stopped(self, error: Exception) -> Result:
        if isinstance(error, ClientError):
            return self._refused(error)
        if isinstance(error, BotoCoreError):
            return self._result(Outcome.FAILED, f"AWS does not answer: {error}", "Look again when it does")
        if isinstance(error, BadConnection) and isinstance(error.__cause__, AuthorizationException):
            return self._result(Outcome.NOT_ALLOWED, str(error), "Let this caller do it, and look again")
        return self._result(Outcome.FAILED, str(error), self.fix)

    def _refused(self, error: ClientError) -> Result:
        code, said = code_of(error), error.response["Error"].get("Message", "")
        if code in _FORBIDDEN:
            call = error.operation_name
            return self._result(Outcome.NOT_ALLOWED, f"{call}: {code}", f"Let this caller do {call}, and look again")
        return self._result(Outcome.FAILED, f"{code}: {said}", self.fix)

    def _result(self, outcome: Outcome, seen: str, fix: str = "") -> Result:
        return Result(self.name, self.subject, outcome, seen, self.why, fix)


_FORBIDDEN = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"}


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return a text for each value that is not the wanted one."""
    return [
        f"{name} is {found.get(name)!r} instead of {value!r}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
