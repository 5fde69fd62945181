"""The connections that a shell's environment names: what ``search_ops.hook`` is in Airflow."""

import os
from typing import Any

import botocore.session

from searchsync.aws import CONFIG, errors
from searchsync.cluster.client import connect_from_environment, setting
from searchsync.connections import Connections
from searchsync.errors import SearchSyncError


def aws(service: str) -> Any:
    """Return a client as AWS' own variables and files describe it.

    :raises BadConnection: when they do not say a region, or credentials by half
    """
    with errors(service, SearchSyncError):
        return botocore.session.get_session().create_client(service, config=CONFIG)


def _postgres() -> tuple[str, str]:
    return setting("SEARCHSYNC_POSTGRES_DSN"), os.environ.get("SEARCHSYNC_POSTGRES_SOURCE_ID", "")


SHELL = Connections(connect_from_environment, _postgres, aws)
"""The connections of this process' environment. Its variables are read at each use."""
