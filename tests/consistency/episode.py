"""One episode of members: a hot table, a mapping that delivers twice, late and by halves, and a dead-letter queue."""

import random
import threading
import time
from datetime import UTC, datetime
from functools import partial

from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.stream import gaps
from tests.consistency.faults import chance, stalled
from tests.consistency.ground import Violation
from tests.consistency.stage import Stage
from tests.consistency.table import SHARDS, Event, record_of
from tests.consistency.turmoil import SECONDS, Actor, Turmoil
from tests.consistency.wire import Crashed, Wire
from tests.consistency.writes import GUESTS

SKEW = 1.5
"""Clocks are off by so many seconds either way, and an answer is stamped up to one later: four in all at worst, where
the margin of five has one for the cut to whole seconds."""

KEYS, HOT = 100, 5
ATTEMPTS = 4
"""Of the event source mapping at a batch."""

LATEST_ZOMBIE = 20.0
"""Seconds of the clock that a delivery may be held."""

QUIET_ROUNDS = 20


class Episode(Turmoil):
    """All actors on one stage."""

    def __init__(self, stage: Stage, seed: int, *, seconds: float = SECONDS) -> None:
        super().__init__(stage, seed, seconds=seconds)
        self._stage = stage
        self._poison = self.choose.random() < 0.5
        if self.choose.random() < 0.5:
            stage.select(GUESTS)
        self._written = threading.Event()
        self._zombies: list[threading.Thread] = []
        reads = self.fork()
        stage.table.skew_of_events = partial(self.fork().uniform, -SKEW, SKEW)
        stage.table.skew_of_reads = lambda: reads.uniform(-SKEW, SKEW) + reads.random()
        stage.table.splits = self.odds(0.1)
        stage.dead.twice = self.odds(0.05)

    def begin(self) -> None:
        self.under_way |= dict.fromkeys(range(SHARDS), datetime.now(UTC))
        for number in range(KEYS):
            self._stage.table.put(f"m-{number:03d}", name=next(self.names), kind="guest")
        self._deliverers = [self.start(self._deliver, shard) for shard in range(SHARDS)]

    def producers(self) -> list[Actor]:
        return [self._produce]

    def actors(self) -> list[Actor]:
        return [self._replay, self._audit]

    def end(self) -> None:
        for key, item in list(self._stage.table.items.items()):
            if "nickname" in item:  # poison is cured
                self._stage.table.put(key, name=next(self.names))
        self._written.set()
        for thread in self._deliverers:
            thread.join()
        for thread in self._zombies:
            thread.join()

    def reconcile(self) -> None:
        """What was parked is replayed, what was missed is repaired."""
        stage = self._stage
        for _ in range(QUIET_ROUNDS):
            if not len(stage.dead) and not len(stage.parked):
                self._heal()
                self.counts["checks"] += stage.check_sound()
                self.counts["events"] += stage.table.events
                return
            stage.clock.skip(3600.0)
            for queue in (stage.dead, stage.parked):
                queue.show_all()
            stage.replay()
            stage.replay(parked=True)
        raise Violation(f"{len(stage.dead)} messages are still in the queue, {len(stage.parked)} wait for a person")

    def _heal(self) -> None:
        """What members missed while they took no writes, as an operator does it: until a comparison finds nothing."""
        stage = self._stage
        for name in EntityIndexes(stage.client, stage.entity).write_set():
            for _ in range(QUIET_ROUNDS):
                if not gaps.of_index(Index(stage.client, name)):
                    break
                self.counts["healed"] += stage.repair(name, quiet=True).written

    # -- the source and its stream

    def _produce(self, choose: random.Random) -> None:
        table = self._stage.table
        while not self.stop.wait(choose.uniform(0.0, 0.015)):
            key = f"m-{choose.randrange(HOT if choose.random() < 0.4 else KEYS):03d}"
            luck = choose.random()
            kind = choose.choice(["guest", "guest", "staff"])
            if luck < 0.25:
                table.delete(key)
            elif luck < 0.27 and self._poison:
                table.put(key, name=next(self.names), kind=kind, nickname="poison")
            elif luck < 0.28:
                table.put(key, name=next(self.names), kind=kind, ahead=7200.0)
            else:
                table.put(key, name=next(self.names), kind=kind)

    def _deliver(self, choose: random.Random, shard: int) -> None:
        """The event source mapping: in order, at least once, with zombies."""
        wire = Wire(self._stage.client)
        function, at = self._stage.function(wire.client), 0
        while True:
            last, asked = self._written.is_set(), datetime.now(UTC)
            events = self._stage.table.after(shard, at, choose.randint(1, 40))
            self.under_way[shard] = events[0].made if events else asked
            if not events:
                if last:
                    return
                time.sleep(0.01)
                continue
            if choose.random() < 0.2:
                self.under_way[events[0].sequence] = events[0].made
                self._zombies.append(self.start(self._haunt, events))
            for _ in range(ATTEMPTS):
                faulty = choose.random() < 0.3 and not self.stop.is_set()
                wire.act = chance(choose, most=4) if faulty else None
                self.counts["deliveries"] += 1
                try:
                    outcome = function.apply([record_of(event) for event in events], seconds=5.0)
                except Crashed:
                    self.counts["crashes"] += 1
                    continue
                if not outcome.failed:
                    break
            else:
                self._stage.give_up(events)
                self.counts["given up"] += 1
            at = events[-1].sequence

    def _haunt(self, choose: random.Random, events: list[Event]) -> None:
        """An invocation that was given up for dead: it lands when its batch was delivered again long since."""
        self.counts["zombies"] += 1
        wait = partial(self._stage.clock.sleep, choose.uniform(0.0, LATEST_ZOMBIE))
        function = self._stage.function(Wire(self._stage.client, stalled(wait, at=choose.randrange(8))).client)
        function.apply([record_of(event) for event in events], seconds=30.0)
        del self.under_way[events[0].sequence]

    def _replay(self, choose: random.Random) -> None:
        wire = Wire(self._stage.client, chance(choose) if choose.random() < 0.3 else None)
        report = self._stage.replay(wire.client)
        self.counts["replays"] += 1
        self.counts["replayed"] += sum(counts.messages for counts in report.reasons.values())

    def _audit(self, _: random.Random) -> None:
        self.counts["checks"] += self._stage.check_sound()
