"""``searchsync access``: the roles of OpenSearch, made as ``include/policies/opensearch_roles.yaml`` says."""

import argparse
import json
from typing import Any

from searchsync.access import cluster_roles, repository
from searchsync.catalog import CATALOG
from searchsync.cli.connections import SHELL
from searchsync.errors import BadParams


def add(commands: Any) -> None:
    """Add ``access show`` and ``access apply``."""
    both = commands.add_parser("access", help="what each part may do in OpenSearch, by fine-grained access control")
    actions = both.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print the roles as OpenSearch takes them; nothing is asked")
    show.set_defaults(command=_show)
    make = actions.add_parser(
        "apply", help="make the roles, map the roles of AWS to them, register the repository; needs the master user"
    )
    make.add_argument("--account", required=True, metavar="ID", help="the AWS account of the roles: 12 digits")
    make.set_defaults(command=_apply)


def _show(_: argparse.Namespace) -> None:
    roles = cluster_roles.rendered(CATALOG.values())
    print(json.dumps({name: role.definition() for name, role in roles.items()}, indent=2))


def _apply(arguments: argparse.Namespace) -> None:
    if not (len(arguments.account) == 12 and arguments.account.isdecimal()):
        raise BadParams(f"{arguments.account!r} is no account of AWS: say its 12 digits. Nothing was changed")
    roles = cluster_roles.rendered(CATALOG.values()).values()
    client, changed = SHELL.opensearch(), 0
    for name in (*cluster_roles.apply(client, roles, arguments.account), *repository.apply(client, arguments.account)):
        print(f"{name} is changed")
        changed += 1
    print(f"{changed} of {2 * len(roles) + 1} were changed")
