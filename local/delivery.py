"""The delivery of one entity's stream to its function, in a process of its own until SIGTERM.

`python -m local.delivery --entity NAME --folder DIR` first waits for what is not there yet: the table and its stream,
an index that takes writes (before the first one, every batch would fail), and a function that can be loaded. The file
`alive` in the folder says what it waits for, and the log says it once. So entities do not wait for each other.
"""

import argparse
import json
import logging
import os
import signal
import threading
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from local import stream_function, tables
from local.event_source import Alive, EventSource, OnFailure
from local.function import Function, FunctionError
from local.paths import ROOT
from local.stream_function import ALIVE, CHECKPOINT
from local.stream_reader import StreamGone
from local.tables import NoStream
from searchsync.catalog import Entity, entity
from searchsync.errors import SearchSyncError

_LOOK_SECONDS = 1.0
_LOAD_SECONDS = 10.0
log = logging.getLogger(__name__)


class Waiting(Exception):
    """Something is not there yet; the text says what.

    :param seconds: after which it is worth to look again.
    """

    def __init__(self, why: str, seconds: float = _LOOK_SECONDS) -> None:
        super().__init__(why)
        self.seconds = seconds


def deliver(served: Entity, function: Function, folder: Path, stop: threading.Event) -> None:
    """Deliver until `stop` is set. The addresses of the emulator and OpenSearch come from the environment."""
    endpoint, alive = os.environ["AWS_ENDPOINT_URL"], Alive(folder / ALIVE)
    while not stop.is_set():
        stream = _await(lambda: _ready(served, function, endpoint), alive, stop)
        if stream is None:
            return
        source = EventSource(
            tables.client("dynamodbstreams", endpoint),
            stream,
            function.invoke,
            stream_function.SETTINGS["event_source_mapping"],
            OnFailure(
                tables.client("sqs", endpoint),
                tables.dead_letters(served, endpoint),
                stream_function.name_of(served),
            ),
            folder / CHECKPOINT,
        )
        log.info("delivering the stream of the table %s", served.table)
        try:
            source.run(stop)
        except StreamGone as gone:
            log.warning("%s, which is delivered from its beginning", gone)


def _await(ready: Callable[[], str], alive: Alive, stop: threading.Event) -> str | None:
    """What `ready` returns as soon as it does not raise `Waiting`; None when stopped before."""
    said = ""
    while not stop.is_set():
        try:
            return ready()
        except Waiting as waiting:
            if said != (said := str(waiting)):
                log.info("waiting: %s", said)
            alive.say(said)
            stop.wait(waiting.seconds)
    return None


def _ready(served: Entity, function: Function, endpoint: str) -> str:
    """The stream of the table, when all that a delivery needs is there.

    :raises Waiting: when something is not there yet.
    """
    try:
        tables.make_queues(served, endpoint)
        stream = tables.stream_arn(served, endpoint)
    except NoStream as missing:
        raise Waiting(str(missing)) from None
    except (BotoCoreError, ClientError) as error:
        raise Waiting(f"the AWS emulator: {error}") from None
    if not has_index(os.environ["SEARCHSYNC_OPENSEARCH_URL"], served):
        raise Waiting(f"no index has the alias {served.write_alias}: run {served.name}_reindex")
    try:
        function.start()
    except FunctionError as error:
        raise Waiting(f"the function cannot be loaded: {error}; its log says why", _LOAD_SECONDS) from None
    return stream


def has_index(opensearch_url: str, served: Entity) -> bool:
    """Whether any index takes the writes of the function."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{opensearch_url}/_alias/{served.write_alias}", timeout=5.0) as response:
            return bool(json.load(response))
    except (OSError, ValueError):
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Deliver until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.delivery", description="A stream to its function.")
    parser.add_argument("--entity", required=True, help="whose table it is")
    parser.add_argument("--folder", type=Path, required=True, help="of the checkpoint, and the file that pauses")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        served = entity(options.entity)
    except SearchSyncError as error:
        raise SystemExit(str(error)) from None
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        **tables.queues(served, os.environ["AWS_ENDPOINT_URL"]),
        **stream_function.environment(served),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    seconds = stream_function.SETTINGS["function"]["timeout_seconds"]
    with closing(Function(stream_function.HANDLER, stream_function.CALLABLE, own, seconds)) as function:
        deliver(served, function, options.folder, stop)


if __name__ == "__main__":
    main()
