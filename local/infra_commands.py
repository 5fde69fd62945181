"""`./dev infra`: what its actions print, and their exit codes."""

from collections.abc import Callable, Mapping

from local import infra_check
from local.infra import Infrastructure, Say, refuse_changes
from local.paths import Home
from local.report import table
from searchsync.preflight.run import is_good
from searchsync.preflight.table import lines


def _up(home: Home, environment: str, say: Say) -> int:
    say(table(Infrastructure(home, say).up(environment)))
    return 0


def _plan(home: Home, environment: str, say: Say) -> int:
    found = Infrastructure(home, say).plan(environment)
    refuse_changes(found)
    reasons = dict.fromkeys((change.what, change.why) for change in found)
    say("a plan changes nothing" + (", but what the emulator does not keep:" if reasons else ""))
    say(table(reasons))
    return 0


def _check(home: Home, environment: str, say: Say) -> int:
    results = infra_check.check(Infrastructure(home, say).endpoint(), home, environment)
    for line in lines(results):
        say(line)
    return 0 if all(map(is_good, results)) else 1


def _down(home: Home, _: str, say: Say) -> int:
    destroyed = Infrastructure(home, say).down()
    say(
        f"{len(destroyed)} resources are destroyed, and the emulator is stopped" if destroyed else "nothing was applied"
    )
    return 0


ACTIONS: Mapping[str, Callable[[Home, str, Say], int]] = {"up": _up, "plan": _plan, "check": _check, "down": _down}
