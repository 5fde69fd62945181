"""Everything that writes an entity's indexes at once, by chance; then quiet, then the truth.

The seed fixes what each actor chooses, not how their threads interleave.
"""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import LedgerMismatch, SearchSyncError
from tests.consistency.faults import chance
from tests.consistency.ground import Build, Ground, Violation, blocked
from tests.consistency.wire import Crashed, Wire

SPEEDS = (8.0, 20.0)
"""Of the clock, by turns: in the slow one a margin has room for more changes, in the fast one more margins pass."""

SECONDS = 8.0

AROUND = "around the write protocol"
"""What a gate says of a document that none of the product's writers can have made."""

STAMPED_AHEAD = timedelta(seconds=0.5)
"""A tombstone's stamp is at most so much older than its read: it is of the transaction's begin, and rounded down."""

Actor = Callable[[random.Random], None]


def speed_of(seed: int) -> float:
    """Of the clock in an episode."""
    return SPEEDS[seed % len(SPEEDS)]


class Turmoil(ABC):
    """All actors of one episode.

    :param seconds: real ones
    :ivar counts: what happened
    :ivar refused: what the product would not do, because another actor was first
    :ivar under_way: since when that was read, or told by the stream, which somebody may still write
    """

    def __init__(self, ground: Ground, seed: int, *, seconds: float = SECONDS) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.under_way: dict[object, datetime] = {}
        self.names = (f"name {number}" for number in range(10**9))
        self.choose = random.Random(seed)
        self.stop = threading.Event()
        self._ground = ground
        self._seconds = seconds
        self._wrong: list[Exception] = []

    def run(self) -> Counter[str]:
        """Turmoil, quiet, truth.

        :raises Violation: when an index is not what its source is
        """
        self.begin()
        threads: list[threading.Thread] = []
        try:
            for name in ("first", "second"):  # two, so that there is one to go back to
                self._reindex(self.fork(), name, Wire(self._ground.client))
            actors = [self._rebuild, self._rival, self._operate, self._block, *self.actors()]
            if self.choose.random() < 0.5:  # a repair heals what another should not have done
                actors.append(self._repair)
            threads += [self.start(producer) for producer in self.producers()]
            threads += [self.start(self._again_and_again, actor) for actor in actors]
            self.stop.wait(self._seconds)
        finally:  # no thread outlives its episode: it would write the next one's indexes
            self.stop.set()
            for thread in threads:
                thread.join()
            self.end()
        if self._wrong:
            raise self._wrong[0]
        try:
            self._retire(datetime.now(UTC))  # what dead runs left, and all tombstones: nothing is under way
            self.reconcile()
        except SearchSyncError as error:
            raise Violation(f"in all quiet, with nobody else at work: {error}") from error
        self.counts["checks"] += self._ground.check()
        return self.counts

    @abstractmethod
    def begin(self) -> None:
        """Fill the source; start what is no actor."""

    @abstractmethod
    def producers(self) -> list[Actor]:
        """What changes the source until it is told to stop."""

    @abstractmethod
    def actors(self) -> list[Actor]:
        """What else is done again and again."""

    @abstractmethod
    def end(self) -> None:
        """Wait for what is no actor: it may go on while there are faults no more."""

    @abstractmethod
    def reconcile(self) -> None:
        """Bring what is still on its way."""

    def fork(self) -> random.Random:
        """Each actor chooses for itself, so that threads do not share one's choices."""
        return random.Random(self.choose.random())

    def odds(self, share: float) -> Callable[[], bool]:
        choose = self.fork()
        return lambda: choose.random() < share

    def start(self, actor: Callable[..., None], *arguments: Any) -> threading.Thread:
        """A thread that ends the episode when it fails."""
        choose = self.fork()

        def act() -> None:
            try:
                actor(choose, *arguments)
            except Exception as error:
                self._wrong.append(error)
                self.stop.set()

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        return thread

    def attempt(self, name: str, act: Callable[[], Any]) -> bool:
        """Whether the product did it; that it was overtaken by another actor is in order, most are made for that."""
        mark = object()
        self.under_way[mark] = datetime.now(UTC)
        try:
            act()
        except SearchSyncError as error:
            if isinstance(error, LedgerMismatch) or AROUND in str(error):
                raise Violation(f"the product finds itself wrong: {error}") from error
            self.refused[f"{name}: {type(error).__name__}"] += 1
            return False
        except Crashed:
            self.counts["crashes"] += 1
            return False
        finally:
            del self.under_way[mark]
        return True

    def _again_and_again(self, choose: random.Random, actor: Actor) -> None:
        while not self.stop.wait(choose.uniform(0.0, 0.5)):
            self.attempt(getattr(actor, "__name__", "").strip("_"), partial(actor, choose))

    # -- operations

    def _rebuild(self, choose: random.Random) -> None:
        wire = Wire(self._ground.client)
        if choose.random() < 0.4:
            wire.act = chance(choose)
        self.counts["reindexes begun"] += 1
        self._reindex(choose, f"run-{choose.randrange(10**9)}", wire)
        self.counts["reindexes"] += 1

    def _rival(self, choose: random.Random) -> None:
        """A second reindex beside the first: one of the two wins."""
        if choose.random() < 0.1:
            self._rebuild(choose)

    def _reindex(self, choose: random.Random, name: str, wire: Wire) -> None:
        ground = self._ground
        pause = partial(choose.uniform, 0.0, 0.1)
        build = Build(ground, name, wire.client, lambda _: time.sleep(pause()), choose.randint(1, 3), force=True)
        ground.running.add(name)
        try:
            build.run()
            self.counts["reconciled"] += build.reconciled
        except SearchSyncError:
            build.discard()
            raise
        finally:
            ground.running.discard(name)

    def _operate(self, choose: random.Random) -> None:
        luck = choose.random()
        if luck < 0.25:  # not more: a reindex loses to each rollback beside it
            self._ground.rollback(force="by chance" if choose.random() < 0.5 else "")
            self.counts["rollbacks"] += 1
        elif luck < 0.5:  # a tombstone that is older than all that is under way keeps nothing out any more
            self._retire(min(self.under_way.copy().values()) - STAMPED_AHEAD)

    def _retire(self, before: datetime) -> None:
        for found in self._ground.retire(before):
            self.counts["retirements"] += found.action == "deleted"
            self.counts["purged"] += found.purged

    def _repair(self, choose: random.Random) -> None:
        members = EntityIndexes(self._ground.client, self._ground.entity).write_set()
        done = self._ground.repair(choose.choice(members))
        self.counts["repairs"] += 1
        self.counts["repaired"] += done.written

    def _block(self, choose: random.Random) -> None:
        """A member that is not live takes no writes for a while."""
        if choose.random() < 0.9:
            return
        client, entity = self._ground.client, self._ground.entity
        serving = EntityIndexes(client, entity).live()
        if others := [name for name in EntityIndexes(client, entity).write_set() if name != serving]:
            self.counts["blocked"] += 1
            with blocked(client, choose.choice(others)):
                self.stop.wait(choose.uniform(0.2, 1.0))
