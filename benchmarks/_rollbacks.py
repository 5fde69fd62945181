"""The drills of ``./dev bench rollback``: a bad version of each part, found bad, and what was before it back again."""

import random
import shutil
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import requests

from benchmarks._bars import say
from benchmarks._disasters import LOCATIONS, Drill
from benchmarks._kills_world import MEMBERS
from local import cognito, members, ports, processes, runs, search_api, stream_function, tables
from local.event_source import EventSource, OnFailure
from local.function import Function, FunctionError
from local.members import TENANTS
from local.paths import ROOT
from searchsync.canary.judge import FAIL, PASS
from searchsync.canary.policy import policy
from searchsync.catalog import Entity

SHARE = 0.1
THREADS, PAUSE_SECONDS = 4, 0.02
REQUESTS, RECORDS = 300, 150
"""Of the new version, that the judge needs (``canary.yaml``: three divided by the smallest change)."""

MOST_NAMES = 5_000
"""Names of places that are asked for: so many that few answers come from the cache."""

_BAD_HANDLER = '''"""A bad version of the function: it cannot read a value of every second record, and parks that."""

import importlib.util
import sys

sys.path.insert(0, {folder!r})
_spec = importlib.util.spec_from_file_location("good_handler", {path!r})
_good = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_good)


def handler(event, context):
    for number, record in enumerate(event.get("Records", [])):
        if number % 2 == 0 and "NewImage" in record["dynamodb"]:
            record["dynamodb"]["NewImage"]["name"] = {{"?": "of a type that there is not"}}
    return _good.handler(event, context)
'''

Seconds = dict[str, dict[int, list[Any]]]
"""Of each side, by second of Unix, what was seen."""


def ask(drill: Drill, subject: str, share: float, series: Any, entity: str = "") -> str:
    """Ask the DAG `canary` over Airflow's REST API, as a deployment does. Return the verdict."""
    api = drill.stack.api()
    api.unpause("canary")
    asked = {"subject": subject, "stage": round(share * 100), "deployment": drill.name, "series": series}
    run_id = api.trigger("canary", {**asked, "baseline": "old", "canary": "new", "entity": entity})
    outcome = runs.follow(api, "canary", run_id, lambda _: None, patience=120.0)
    if not outcome.succeeded:
        drill.problems.append("\n".join(runs.explain_failure(api, outcome)))
        return "none"
    say(f"{drill.name}: {outcome.result['verdict']}: {outcome.result['why']}")
    return str(outcome.result["verdict"])


class Balancer:
    """Two versions of the search API behind weights, asked by some threads.

    :ivar share: of the requests that the new version gets
    """

    def __init__(self, old: str, new: str, tokens: list[str], names: list[str]) -> None:
        self._urls, self._tokens, self._names = {"baseline": old, "canary": new}, tokens, names
        self.share, self.seen = 0.0, _seconds()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        choose, session = random.Random(seed), requests.Session()
        session.trust_env = False
        while not self._stop.wait(PAUSE_SECONDS):
            side = "canary" if choose.random() < self.share else "baseline"
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {choose.choice(self._tokens)}"}
            asked = {"q": choose.choice(self._names)}
            url = f"{self._urls[side]}/v1/locations/search"
            answer = session.get(url, params=asked, headers=headers, timeout=10)
            found = answer.status_code == 200 and bool(answer.json()["hits"])
            took = (time.monotonic() - began) * 1000
            self.seen[side][int(time.time())].append((answer.status_code, found, took))

    def series(self, since: int) -> Any:
        """Return the whole seconds since a moment as series; both sides have each."""
        every = range(since + 1, int(time.time()))
        named: dict[str, Callable[[list[Any]], float | None]] = {
            "requests": len,
            "errors": lambda seen: sum(status >= 500 for status, _, _ in seen),
            "found": lambda seen: sum(found for _, found, _ in seen),
            "latency_p50": lambda seen: statistics.median(took for *_, took in seen) if seen else None,
            "latency_p95": lambda seen: sorted(took for *_, took in seen)[int(0.95 * len(seen))] if seen else None,
        }
        return {name: _series(self.seen, every, figure) for name, figure in named.items()}

    def since(self, side: str, second: int) -> list[Any]:
        """Return what was seen of a side after a second."""
        return [one for at, some in [*self.seen[side].items()] if at > second for one in some]

    def watch(self, since: int) -> Any:
        """Return the series as soon as there are enough requests and seconds for a verdict."""
        while True:
            series = self.series(since)
            count = sum(value for _, value in series["requests"]["canary"])
            if count >= REQUESTS and len(series["requests"]["canary"]) > 2 * policy().samples:
                return series
            time.sleep(0.5)


def _names(drill: Drill) -> list[str]:
    body = {"size": MOST_NAMES, "_source": ["name"], "query": {"exists": {"field": "name"}}}
    hits = drill.world.search.request("POST", f"/{LOCATIONS.read_alias}/_search", body=body)["hits"]["hits"]
    return [hit["_source"]["name"] for hit in hits]


def _seconds() -> Seconds:
    return {side: defaultdict(list) for side in ("baseline", "canary")}


def _series(seen: Seconds, every: range, figure: Callable[[list[Any]], float | None]) -> Any:
    return {
        side: [[datetime.fromtimestamp(second, UTC).isoformat(), figure(there[second])] for second in every]
        for side, there in seen.items()
    }


@contextmanager
def versions(drill: Drill, bad: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Start the old version of the search API and the new one. Lend their addresses, and tokens for them."""
    state, pool = drill.stack.state, search_api.user_pool(drill.stack.variables()["AWS_ENDPOINT_URL"])
    started, urls = [], []
    try:
        for name in ("old", "new"):
            port, folder = ports.choose(), drill.stack.home.part(f"search-api-{name}")
            env = search_api.environment(drill.stack.home, {**state.ports, search_api.PART: port}, pool)
            for limit in ("TENANT", "ADDRESS"):
                env[f"SEARCH_API_{limit}_REQUESTS_A_MINUTE"] = "10000000"
            if bad and name == "new":
                env["SEARCHSYNC_OPENSEARCH_URL"] = f"http://{ports.LOOPBACK}:9"  # a setting that nobody looked at
            log = drill.stack.home.log(f"search-api-{name}")
            started.append(processes.spawn(search_api.command(), folder=folder, log=log, env=env, cwd=ROOT))
            urls.append(f"http://{ports.LOOPBACK}:{port}")
            until(partial(search_api.answers, port))
        yield urls[0], urls[1], [cognito.token(pool, tenant=tenant, role="tenant_user") for tenant in TENANTS]
    finally:
        for process in started:
            processes.stop(process)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds. Raise ``TimeoutError`` when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)


def api(drill: Drill) -> None:
    """A version of the search API that reaches no OpenSearch gets a tenth of the searches."""
    with versions(drill, bad=True) as (old, new, tokens), Balancer(old, new, tokens, _names(drill)) as balancer:
        with drill.step("bad version at 10 %, until there is enough to judge"):
            began, balancer.share = int(time.time()), SHARE
            series = balancer.watch(began)
        with drill.step("verdict"):
            if (verdict := ask(drill, "search-api", SHARE, series)) != FAIL:
                drill.problems.append(f"the verdict on a bad version is {verdict}")
        with drill.step("weights back"):
            balancer.share = 0.0
            back = int(time.time()) + 1
        time.sleep(5.0)
        seen, new_ones = (balancer.since(side, back) for side in ("baseline", "canary"))
        failed = sum(status >= 500 for status, *_ in balancer.since("canary", 0))
        if new_ones or not seen or any(status >= 500 for status, *_ in seen):
            drill.problems.append(f"after the rollback {len(new_ones)} requests reach the bad version")
        drill.lost = f"{failed} searches answered with an error"


def api_good(drill: Drill) -> None:
    """A version that is as good goes on; without it, a judge that calls all bad would look right."""
    with versions(drill, bad=False) as (old, new, tokens), Balancer(old, new, tokens, _names(drill)) as balancer:
        for share in (SHARE, 0.5):
            with drill.step(f"good version at {share:.0%}, until there is enough to judge"):
                began, balancer.share = int(time.time()), share
                series = balancer.watch(began)
            with drill.step(f"verdict at {share:.0%}"):
                if (verdict := ask(drill, "search-api", share, series)) != PASS:
                    drill.problems.append(f"the verdict on a good version is {verdict}")


class Alias:
    """The alias of a function: its weights choose the version that an event goes to, and what came of it is kept."""

    def __init__(self, old: Function, new: Function, waiting: Callable[[], int]) -> None:
        self._versions, self._waiting = {"baseline": old, "canary": new}, waiting
        self.share, self.seen = 0.0, _seconds()
        self._choose = random.Random("alias")

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the version that the weights choose."""
        side = "canary" if self._choose.random() < self.share else "baseline"
        records, before, began = len(event["Records"]), self._waiting(), time.monotonic()
        failed, error = records, 1
        try:
            answer = self._versions[side].invoke(event)
            failed, error = records if answer["batchItemFailures"] else 0, 0
            return answer
        except FunctionError as died:
            say(f"the function failed: {died}")
            raise
        finally:
            parked, took = self._waiting() - before, (time.monotonic() - began) * 1000
            self.seen[side][int(time.time())].append((records, parked, failed, took, error))

    def series(self, since: int) -> Any:
        """Return the whole seconds since a moment as series."""
        every = range(since + 1, int(time.time()))
        named: dict[str, Callable[[list[Any]], float | None]] = {
            "invocations": len,
            "errors": lambda seen: sum(one[4] for one in seen),
            "records": lambda seen: sum(one[0] for one in seen),
            "parked": lambda seen: sum(one[1] for one in seen),
            "unacknowledged": lambda seen: sum(one[2] for one in seen),
            "duration": lambda seen: statistics.mean(one[3] for one in seen) if seen else None,
        }
        return {name: _series(self.seen, every, figure) for name, figure in named.items()}


def function(drill: Drill) -> None:
    """A version of the function that cannot read a value gets half of the batches; then alias back, and a replay."""
    stack, endpoint = drill.stack, drill.stack.variables()["AWS_ENDPOINT_URL"]
    paused = stack.home.stream(MEMBERS.name) / stream_function.PAUSED
    paused.touch()  # its own delivery: the drill delivers instead, from where it was
    time.sleep(2.0)
    folder = stack.home.part("rollback-drill")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(stack.home.stream(MEMBERS.name) / stream_function.CHECKPOINT, folder / stream_function.CHECKPOINT)
    stop = threading.Event()
    try:
        with _alias(drill, folder) as alias, _delivering(endpoint, alias, folder, stop), _writing(endpoint, stop):
            with drill.step("bad version at 50 %, until there is enough to judge"):
                began, alias.share = int(time.time()), 0.5
                until(lambda: _enough(alias.series(began)), 120.0)
            with drill.step("verdict"):
                if (verdict := ask(drill, "function", 0.5, alias.series(began), MEMBERS.name)) != FAIL:
                    drill.problems.append(f"the verdict on a bad version is {verdict}")
            with drill.step("alias back"):
                alias.share = 0.0
            stop.set()
    finally:
        shutil.copy(folder / stream_function.CHECKPOINT, stack.home.stream(MEMBERS.name) / stream_function.CHECKPOINT)
        paused.unlink()
    queue = drill.world._queue("DEAD_LETTER")
    drill.lost = f"nothing; {queue.waiting()} records were parked and replayed"
    with drill.step("stream caught up"):
        drill.searchsync("freshness", MEMBERS.name)
    with drill.step("parked records replayed"):
        while queue.waiting():
            drill.searchsync("replay", MEMBERS.name)
            time.sleep(1.0)
    drill.compare()


def _enough(series: Any) -> bool:
    usable = [
        both
        for both in zip(series["records"]["baseline"], series["records"]["canary"], strict=True)
        if both[0][1] and both[1][1]
    ]
    sides = [sum(value for _, value in series["records"][side]) for side in ("baseline", "canary")]
    return min(sides) >= RECORDS and len(usable) > policy().samples + 3


@contextmanager
def _alias(drill: Drill, folder: Path) -> Iterator[Alias]:
    endpoint, seconds = drill.stack.variables()["AWS_ENDPOINT_URL"], 30.0
    bad = folder / "bad_handler.py"
    text = _BAD_HANDLER.format(folder=str(stream_function.FOLDER), path=str(stream_function.HANDLER))
    bad.write_text(text, encoding="utf-8")
    own = {
        **drill.stack.variables(),
        **tables.queues(MEMBERS, endpoint),
        **stream_function.environment(MEMBERS),
        "PYTHONPATH": str(ROOT / "src"),
    }
    queue = drill.world._queue("DEAD_LETTER")
    name = stream_function.CALLABLE
    with (
        drill.stack.home.log("rollback-drill").open("ab") as log,
        closing(Function(stream_function.HANDLER, name, own, seconds, log)) as old,
        closing(Function(bad, "handler", own, seconds, log)) as new,
    ):
        old.start()
        new.start()
        yield Alias(old, new, queue.waiting)


@contextmanager
def _delivering(endpoint: str, alias: Alias, folder: Path, stop: threading.Event) -> Iterator[None]:
    failure = OnFailure(tables.client("sqs", endpoint), tables.dead_letters(MEMBERS, endpoint), "members_stream")
    source = EventSource(
        tables.client("dynamodbstreams", endpoint),
        tables.stream_arn(MEMBERS, endpoint),
        alias.invoke,
        stream_function.SETTINGS["event_source_mapping"],
        failure,
        folder / stream_function.CHECKPOINT,
    )
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _writing(endpoint: str, stop: threading.Event) -> Iterator[None]:
    """Let the table change, some ten times a second."""
    dynamodb, choose = tables.client("dynamodb", endpoint), random.Random("writes")

    def write() -> None:
        while not stop.wait(0.02):
            key = f"m-{choose.randrange(1, members.SAMPLE_MEMBERS):07d}"
            item = {MEMBERS.key[0]: {"S": key}, "name": {"S": f"renamed {choose.random()}"}}
            dynamodb.put_item(TableName=MEMBERS.table, Item=item)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def index(drill: Drill) -> None:
    """A swap is taken back by the DAG ``index_rollback``, while the source goes on."""
    before = drill.world.indexes(LOCATIONS).live_or_raise()
    drill.searchsync("reindex", LOCATIONS.name)
    drill.change()
    client = drill.stack.api()
    client.unpause("index_rollback")
    with drill.step("index_rollback"):
        run_id = client.trigger("index_rollback", {"entity": LOCATIONS.name, "approve": False})
        outcome = runs.follow(client, "index_rollback", run_id, lambda _: None)
    if not outcome.succeeded:
        drill.problems.append("\n".join(runs.explain_failure(client, outcome)))
    elif (live := drill.world.indexes(LOCATIONS).live_or_raise()) != before:
        drill.problems.append(f"{live} is live, and {before} was before the swap")
    drill.compare()


CASES: dict[str, tuple[Callable[[Drill], None], Entity]] = {
    "api": (api, LOCATIONS),
    "api-good": (api_good, LOCATIONS),
    "function": (function, MEMBERS),
    "index": (index, LOCATIONS),
}
"""Each drill, and the entity that it needs an index of."""
