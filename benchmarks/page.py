"""How long the page *Indexes* takes, and how many requests it sends, when there are few indexes and many.

    ./dev bench page [--indexes N] [--pages N]

Airflow's API with its plugins answers in this process, from an SQLite database of its own; OpenSearch and the AWS
emulator are real servers on the same machine. The first page, which loads libraries, is not counted. The requests are
counted by a proxy in pages of their own. Figures are medians. Prints a table, then one line of JSON.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from benchmarks._bars import Bar, conclude
from benchmarks._loads import URL
from local import tables
from local.paths import ROOT
from searchsync.catalog import CATALOG
from searchsync.cluster.client import Client, connect
from tests.faults import OpenSearchProxy
from tests.steps import serve

MOST_MS = 300.0
PAGE = "/searchsync/indexes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    parser = argparse.ArgumentParser(prog="./dev bench page", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--indexes", type=int, default=50, help="the many (default: %(default)s)")
    parser.add_argument("--pages", type=int, default=30, help="of each kind (default: %(default)s)")
    options = parser.parse_args(arguments)
    client = connect(os.environ[URL])
    _empty(client)
    with tempfile.TemporaryDirectory(prefix="searchsync-bench-page-") as home:
        browser = _browser(Path(home))
        for entity in CATALOG.values():
            serve(client, entity, "bench/1")
        few = _measured(browser, options.pages)
        _add(client, options.indexes - len(CATALOG))
        many = _measured(browser, options.pages)
    _empty(client)
    bars = [
        Bar(f"milliseconds with {options.indexes} indexes", many["ms"], most=MOST_MS),
        Bar("pages that lack an answer", few["late"] + many["late"], most=0),
        Bar("requests with many / with few", many["requests"] / few["requests"], least=1, most=1),
    ]
    lines = [f"{kind}: {seen['ms']:.0f} ms, {seen['requests']} requests, {seen['bytes']:,} bytes" for kind, seen in
             ((f"{len(CATALOG)} indexes", few), (f"{options.indexes} indexes", many))]  # fmt: skip
    return conclude("\n".join(lines), {"benchmark": "page", "few": few, "many": many}, bars)


def _empty(client: Client) -> None:
    for name in client.request("GET", "/_all", params={"expand_wildcards": "all"}):
        client.request("DELETE", f"/{name}")


def _add(client: Client, count: int) -> None:
    """Add physical indexes of the first entity, as an entity's mapping makes them."""
    entity = next(iter(CATALOG.values()))
    for n in range(count):
        client.request("PUT", f"/{entity.name}-20260101t000000-{n:08x}", body=entity.index_body)


def _browser(home: Path) -> Any:
    """Return a client of Airflow's API to which somebody is logged in."""
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only for the benchmark " * 4,
        "SEARCHSYNC_REPORTS": str(home / "reports"),
    }
    sys.path.insert(0, str(ROOT / "plugins"))
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    initdb()
    bundles: Any = DagBundlesManager
    bundles().sync_bundles_to_db()
    for bundle in bundles().get_all_dag_bundles():
        bundle.initialize()
        found = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(found, bundle.name, bundle.version)
    _connect(urlsplit(os.environ[URL]).port)
    browser = TestClient(create_app(apps="core"))
    browser.cookies["_token"] = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="bench", role="admin"))
    return browser


def _connect(opensearch_port: int | None) -> None:
    """Set Airflow's connections, and the queues of each entity that has some."""
    extra = {"use_ssl": False}
    made = {"conn_type": "opensearch", "host": "127.0.0.1", "port": opensearch_port, "extra": extra}
    aws = {"region_name": os.environ["AWS_DEFAULT_REGION"], "endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    login = {"login": os.environ["AWS_ACCESS_KEY_ID"], "password": os.environ["AWS_SECRET_ACCESS_KEY"]}
    os.environ["AIRFLOW_CONN_SEARCHSYNC_OPENSEARCH"] = json.dumps(made)
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps({"conn_type": "aws", **login, "extra": aws})
    sqs = tables.client("sqs", aws["endpoint_url"])
    for entity in CATALOG.values():
        for queue in ("DEAD_LETTER_QUEUE", "PARKED_QUEUE"):
            name = f"{entity.name}-{queue.lower()}"
            os.environ[entity.variable(queue)] = sqs.create_queue(QueueName=name)["QueueUrl"]


def _measured(browser: Any, pages: int) -> dict[str, Any]:
    browser.get(PAGE)  # loads libraries
    times, late = [], 0
    for _ in range(pages):
        began = time.perf_counter()
        answer = browser.get(PAGE)
        times.append((time.perf_counter() - began) * 1000)
        late += "Not known" in answer.text
    proxy = OpenSearchProxy(os.environ[URL])
    try:
        _connect(proxy.port)
        browser.get(PAGE)
        requests = len(proxy.requests)
    finally:
        proxy.close()
        _connect(urlsplit(os.environ[URL]).port)
    return {"ms": round(median(times), 1), "requests": requests, "late": late, "bytes": len(answer.content)}


if __name__ == "__main__":
    sys.exit(main())
