"""All checks, one after the other."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from searchsync.errors import Different
from searchsync.preflight import agent, airflow, alarms, network, roles, rows, search, stream, tables, users
from searchsync.preflight.checks import Check, Outcome, Result
from searchsync.preflight.target import Target

log = logging.getLogger(__name__)

PARTS: tuple[Callable[[Target], Iterator[Check]], ...] = (
    search.checks,
    rows.checks,
    tables.checks,
    stream.checks,
    alarms.checks,
    network.checks,
    roles.checks,
    users.checks,
    agent.checks,
    airflow.checks,
)


def run(target: Target) -> list[Result]:
    """Make all checks of an environment, and change nothing. Return a result for each of them.

    :raises BadParams: when there is no such environment, or files are missing
    :raises BadConnection: when AWS does not know the caller
    """
    number = len(target.values)  # read first: without it, or without a caller, nothing is looked at
    log.info("%s: account %s, region %s, %d values", target.environment, target.account, target.region, number)
    return [check.run() for part in PARTS for check in part(target)]


def bad(results: Iterable[Result]) -> list[str]:
    """Return the name of each check that failed or could not be made."""
    return [f"{result.check} of {result.subject}" for result in results if not is_good(result)]


def judge(environment: str, names: Sequence[str]) -> None:
    """Say in one line which checks are not good.

    :raises Different: when there is one
    """
    if names:
        raise Different(f"{environment} is not as its files say, or may not be looked at: {', '.join(names)}")


def is_good(result: Result) -> bool:
    """Return whether nothing is wrong with a result, and it could be looked at."""
    return result.outcome in (Outcome.PASSED, Outcome.NOT_APPLICABLE)
