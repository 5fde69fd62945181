"""The connections that a shell's environment names: what ``search_ops.hook`` is in Airflow."""

import os
from typing import Any

import botocore.session

from searchsync.aws import CONFIG, errors
from searchsync.catalog import DEFAULT_CONNECTION
from searchsync.cluster.client import connect_from_environment, setting
from searchsync.connections import Connections
from searchsync.errors import SearchSyncError
from searchsync.sources.postgres_connection import Dsn
from searchsync.sources.postgres_iam import IamLogin, is_wanted


def aws(connection: str, service: str) -> Any:
    """Return a client as AWS' own variables and files describe it.

    ``<ID>_PROFILE`` names the profile of a connection; for ``aws_default`` that is AWS' own ``AWS_DEFAULT_PROFILE``.

    :raises BadConnection: when they do not say a region, or credentials by half
    """
    with errors(service, SearchSyncError):
        profile = os.environ.get(f"{connection.upper()}_PROFILE") or None
        return botocore.session.Session(profile=profile).create_client(service, config=CONFIG)


def _postgres(connection: str) -> tuple[Dsn, str]:
    """Return the connection string and the name of the database. ``<ID>_IAM`` says to log in by a token of IAM."""
    name = connection.upper()
    dsn, source_id = setting(f"{name}_DSN"), os.environ.get(f"{name}_SOURCE_ID", "")
    if is_wanted(os.environ.get(f"{name}_IAM", ""), f"{name}_IAM"):
        return IamLogin(dsn, f"{name}_DSN", lambda: aws(DEFAULT_CONNECTION["dynamodb"], "rds")), source_id
    return dsn, source_id


SHELL = Connections(connect_from_environment, _postgres, aws)
"""The connections of this process' environment. Its variables are read at each use."""
