"""The snapshot repository of a domain of AWS: a bucket, and the role that OpenSearch takes to reach it.

Who registers it passes that role on, and so needs ``iam:PassRole``: the master user, at each deployment. Whoever saves
and restores needs no right to the bucket.
"""

from collections.abc import Iterator
from string import Template

import botocore.session

from searchsync import aws
from searchsync.cluster.client import Client
from searchsync.config import snapshots
from searchsync.errors import BadConnection, RequestRejected


def of_aws(account: str, region: str) -> dict[str, str]:
    """Return the settings of the repository, as OpenSearch tells them: all of them texts."""
    policy = snapshots()
    return {
        "bucket": Template(policy.bucket).substitute(account=account),
        "region": region,
        "role_arn": f"arn:aws:iam::{account}:role/{policy.role}",
        "server_side_encryption": "true",
    }


def apply(client: Client, account: str) -> Iterator[str]:
    """Register the repository where it is not registered so. Yield its name if it was not.

    :param client: of the domain's master user
    :raises BadConnection: when no region is set
    """
    region = botocore.session.get_session().get_config_variable("region")
    if not region:
        raise BadConnection(
            f"AWS has no region here, so the snapshot repository is not registered. {aws.HOW_TO_SET_UP}"
        )
    if register(client, "s3", of_aws(account, region)):
        yield f"_snapshot/{snapshots().repository}"


def register(client: Client, kind: str, settings: dict[str, str]) -> bool:
    """Register the repository of the policy, unless it is registered so. Return whether it was not.

    OpenSearch writes a file to it then, and refuses what it cannot write to.

    :param kind: ``fs`` or ``s3``
    :param settings: as OpenSearch tells them, all of them texts
    """
    name = snapshots().repository
    wanted = {"type": kind, "settings": settings}
    try:
        found = client.request("GET", f"/_snapshot/{name}")[name]
    except RequestRejected as error:
        if error.status != 404:
            raise
        found = {}
    if {part: found.get(part) for part in wanted} == wanted:
        return False
    client.request("PUT", f"/_snapshot/{name}", body=wanted)
    return True
