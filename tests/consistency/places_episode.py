"""One episode of locations: overlapping transactions, syncs that are killed or come late, on the real PostgreSQL."""

import random
import threading
import time
from functools import partial

import psycopg

from tests.consistency.faults import chance, stalled
from tests.consistency.places import Places, write
from tests.consistency.turmoil import SECONDS, Actor, Turmoil
from tests.consistency.wire import Wire

KEYS, HOT = 100, 5
LATEST_ZOMBIE = 2.0


class PlacesEpisode(Turmoil):
    """All actors on one table."""

    def __init__(self, places: Places, seed: int, *, seconds: float = SECONDS) -> None:
        super().__init__(places, seed, seconds=seconds)
        self._places = places
        self._zombies: list[threading.Thread] = []
        places.keys = KEYS

    def begin(self) -> None:
        with self._places.connect() as connection:
            for key in range(1, KEYS + 1):
                write(connection, key, next(self.names))

    def producers(self) -> list[Actor]:
        return [self._produce] * 3

    def actors(self) -> list[Actor]:
        return [self._sync, self._sync, self._haunt]

    def end(self) -> None:
        for thread in self._zombies:
            thread.join()

    def reconcile(self) -> None:
        self._places.sync()

    def _produce(self, choose: random.Random) -> None:
        """Transactions of some rows, open for a while; some are rolled back."""
        connection = self._places.connect()
        try:
            while not self.stop.is_set():
                try:
                    for _ in range(choose.randint(1, 3)):
                        key = choose.randint(1, HOT if choose.random() < 0.4 else KEYS)
                        write(connection, key, None if choose.random() < 0.25 else next(self.names))
                        self.stop.wait(choose.uniform(0.0, 0.1))
                    if choose.random() < 0.1:
                        connection.rollback()
                    else:
                        connection.commit()
                        self.counts["commits"] += 1
                except psycopg.errors.DeadlockDetected:
                    connection.rollback()
        finally:
            connection.close()

    def _sync(self, choose: random.Random) -> None:
        wire = Wire(self._places.client, chance(choose) if choose.random() < 0.3 else None)
        self._places.sync(wire.client)
        self.counts["syncs"] += 1

    def _haunt(self, choose: random.Random) -> None:
        """A sync that is held at one of its writes while others go on."""
        if choose.random() < 0.6:
            return
        wait = partial(time.sleep, choose.uniform(0.0, LATEST_ZOMBIE))
        wire = Wire(self._places.client, stalled(wait, at=choose.randrange(20)))
        self.counts["zombies"] += 1

        def sync(_: random.Random) -> None:
            self.attempt("zombie", lambda: self._places.sync(wire.client))

        self._zombies.append(self.start(sync))
