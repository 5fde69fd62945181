"""The command line behind `scripts/bootstrap.sh`, `scripts/deploy.sh` and `scripts/rollback.sh`."""

import argparse
import os
import sys

from botocore.exceptions import BotoCoreError, ClientError

from local.deployment import target
from local.deployment.approval import Approval
from local.deployment.bootstrap import prepare
from local.deployment.deploy import deploy
from local.deployment.rollback import roll_back
from local.errors import LocalError

_SCRIPTS = {"bootstrap": prepare, "deploy": deploy, "rollback": roll_back}
_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a script. Return its exit code: 0 when it did what it was asked for."""
    given = sys.argv[1:] if arguments is None else arguments
    script = given[0]
    options = _parser(script).parse_args(given[1:])
    try:
        approval = Approval(options.environment, options.plan_only, options.auto_approve, options.approved)
        _SCRIPTS[script](target.read(options.environment, os.environ), approval)
    except (LocalError, BotoCoreError, ClientError) as error:
        print(f"{script}: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print(f"{script}: interrupted; run it again, or scripts/rollback.sh", file=sys.stderr, flush=True)
        return _INTERRUPTED
    return 0


def _parser(script: str) -> argparse.ArgumentParser:
    texts = {
        "bootstrap": "Make what must be there before Terraform: the bucket of its state, and repositories of images.",
        "deploy": "Deploy the checkout: checks before, a saved plan, functions by weights, checks after.",
        "rollback": "Go back to the release before: functions and services at once, then the plan of its commit.",
    }
    parser = argparse.ArgumentParser(prog=f"scripts/{script}.sh", description=texts[script])
    parser.add_argument("--environment", required=True, choices=("dev", "staging", "production"))
    parser.add_argument("--plan-only", action="store_true", help="show the plan and its digest; change nothing")
    if script == "bootstrap":
        parser.set_defaults(auto_approve=False, approved=None)
        return parser
    approved = parser.add_mutually_exclusive_group()
    approved.add_argument("--auto-approve", action="store_true", help="apply the plan unseen; production refuses it")
    approved.add_argument("--approved", metavar="DIGEST", help="apply the plan only if it is the one with this digest")
    return parser


if __name__ == "__main__":
    sys.exit(main())
