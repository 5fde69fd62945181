"""``python -m search_api``: serve, as the environment says."""

import gc
import os
import sys
import tempfile

from search_api.settings import BadSettings, Settings


def application() -> object:
    """Return the application of this process; each worker calls it."""
    from search_api import telemetry  # noqa: PLC0415 - after the folder of metrics is named
    from search_api.app import create_app  # noqa: PLC0415

    settings = Settings.from_environment()
    telemetry.configure_logging(settings.log_level)
    app = create_app(settings)
    _collect_seldom()
    return app


def _collect_seldom() -> None:
    """Look for unused cycles of objects less often than Python does: requests leave few, and looking took a tenth."""
    gc.collect()
    gc.freeze()  # what is loaded stays
    gc.set_threshold(10_000)


def main() -> int:
    """Serve until a signal ends it. Return the exit code: 2 when the environment is wrong."""
    import uvicorn  # noqa: PLC0415 - not in the other modules' way

    from search_api.protocol import Protocol  # noqa: PLC0415

    try:
        settings = Settings.from_environment()
    except BadSettings as error:
        print(f"search_api: {error}", file=sys.stderr)
        return 2
    if settings.workers > 1:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="search-api-metrics-")
    uvicorn.run(
        "search_api.__main__:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who called is decided by ``exchange.address``
        server_header=False,
        timeout_keep_alive=65,  # longer than the load balancer's 60 s: it must not meet a closed connection
        timeout_graceful_shutdown=10,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
