"""Airflow connections to clients of the library.

``searchsync_opensearch`` (type opensearch): host, port, login and password or, in ``extra``, ``aws_conn_id`` and
``region`` for SigV4; ``use_ssl`` (default true), ``verify_certs`` (default true), ``ca_certs``.
The two others have the ids that the files of ``include/entities`` name:
``searchsync_postgres`` (type postgres): the login that may SELECT; ``extra`` takes libpq's ``ssl*`` options,
``source_id``, an operator's name for this very database (docs/protocol.md, Position), and ``iam``: true for a login by
a token of IAM in place of a password, made with the AWS connection ``aws_conn_id`` (``aws_default``).
``aws_default`` (type aws): a role that may read the tables, their streams and CloudWatch's metrics, use the
dead-letter queues, and export what is read from exports (docs/operations/reindex.md).
``search_api`` (type http) may be missing: ``search_ops.warming`` says what it is for.
"""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from searchsync.cluster.client import Client
    from searchsync.connections import Connections
    from searchsync.sources.postgres_connection import Dsn

OPENSEARCH = "searchsync_opensearch"
SLACK = "searchsync_slack"

_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "target_session_attrs")


def opensearch(*, timeout: float | None = None) -> "Client":
    """A client of the cluster.

    :param timeout: seconds that one answer may take; None for the client's own
    :raises BadParams: when the connection means nothing
    """
    from searchsync.cluster.client import REQUEST_SECONDS, connect
    from searchsync.errors import BadParams

    connection = BaseHook.get_connection(OPENSEARCH)
    extra: dict[str, Any] = connection.extra_dejson
    if not connection.host or "/" in connection.host:
        raise BadParams(
            f"the connection {OPENSEARCH} has the host {connection.host!r}: it has to be a name or address alone. "
            "Correct it, with the port in its own field and use_ssl in the extra"
        )
    scheme = "https" if _flag(extra, "use_ssl") else "http"
    auth: Any = None
    if extra.get("aws_conn_id"):
        auth = _sigv4(extra)
    elif connection.login:
        auth = (connection.login, connection.password)
    return connect(
        f"{scheme}://{connection.host}:{connection.port or (443 if scheme == 'https' else 9200)}",
        auth=auth,
        ca_certs=extra.get("ca_certs") or None,
        verify_certs=_flag(extra, "verify_certs"),
        timeout=REQUEST_SECONDS if timeout is None else timeout,
    )


def _flag(extra: dict[str, Any], name: str) -> bool:
    """A yes or no of the connection's extra, yes by default; in a connection's URI it is a text.

    :raises BadParams: when it is neither
    """
    from searchsync.errors import BadParams

    text = str(extra.get(name, True)).strip().lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise BadParams(f"the connection {OPENSEARCH} has {name}={extra[name]!r} in its extra: it is true or false")


def _sigv4(extra: dict[str, Any]) -> Any:
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    from searchsync.cluster.client import signer

    # The session's credentials refresh themselves; a frozen copy would expire in the middle of a long load.
    hook: Any = AwsBaseHook(aws_conn_id=extra["aws_conn_id"], client_type="es")
    session = hook.get_session(region_name=extra.get("region"))
    return signer(session.get_credentials(), session.region_name, extra.get("service", "es"))


def connections() -> "Connections":
    """Return what reaches all servers, by Airflow's connections."""
    from searchsync.connections import Connections

    return Connections(opensearch, _postgres, aws)


def _postgres(connection_id: str) -> tuple["Dsn", str]:
    from psycopg.conninfo import make_conninfo

    from searchsync.sources.postgres_iam import IamLogin, is_wanted

    connection = BaseHook.get_connection(connection_id)
    extra: dict[str, Any] = connection.extra_dejson
    dsn = make_conninfo(
        host=connection.host,
        port=connection.port or 5432,
        user=connection.login,
        password=connection.password,
        dbname=connection.schema,
        **{name: value for name, value in extra.items() if name in _LIBPQ},
    )
    source_id = str(extra.get("source_id", ""))
    if is_wanted(extra.get("iam", False), f"iam in the extra of the connection {connection_id}"):
        signs = extra.get("aws_conn_id") or "aws_default"
        return IamLogin(dsn, f"the connection {connection_id}", lambda: aws(signs, "rds")), source_id
    return dsn, source_id


def aws(connection_id: str, service: str) -> Any:
    """Return a boto3 client of a service, by a connection of the type aws."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    from searchsync.aws import CONFIG, errors
    from searchsync.errors import SearchSyncError

    hook: Any = AwsBaseHook(aws_conn_id=connection_id, client_type=service)
    with errors(f"the connection {connection_id} to {service}", SearchSyncError):
        own = hook.conn_config.botocore_config  # what the connection says is meant
        return hook.get_client_type(config=CONFIG.merge(own) if own else CONFIG)
