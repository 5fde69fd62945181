"""All looks at once. What hangs or fails is a result of its own, and holds up nothing else."""

import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from searchsync.deadline import Deadline
from searchsync.health.reading import Look, Reading

log = logging.getLogger(__name__)

SECONDS = 60.0
"""For all looks together. A run has to be over long before the next one is due, five minutes later."""

AT_ONCE = 4
"""Looks at one server that are under way at the same time."""


@dataclass
class _Answers:
    """What each look showed so far. A look that comes back after the end changes nothing any more."""

    found: dict[int, list[Reading]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, number: int, readings: list[Reading]) -> None:
        with self.lock:
            self.found[number] = readings

    def taken(self) -> dict[int, list[Reading]]:
        with self.lock:
            return dict(self.found)


def gather(looks: Sequence[Look], *, seconds: float = SECONDS) -> list[Reading]:
    """Make all looks, and return their readings in the order of the looks.

    Each server has threads of its own, because not all that may hang has a time-out: the name of a host, AWS'
    credentials. They are left behind when time is over.

    :param seconds: after which what has not answered is unknown
    """
    deadline, answers = Deadline.within(seconds), _Answers()
    queues: dict[str, queue.SimpleQueue[tuple[int, Look]]] = {}
    for number, look in enumerate(looks):
        queues.setdefault(look.server, queue.SimpleQueue()).put((number, look))
    threads = [
        threading.Thread(target=_work, args=(todo, answers, deadline), daemon=True)
        for todo in queues.values()
        for _ in range(min(AT_ONCE, todo.qsize()))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline.remaining))
    found = answers.taken()
    late = f"it did not answer within {seconds:g} s"
    return [
        reading
        for number, look in enumerate(looks)
        for reading in (found[number] if number in found else look.unknown(f"{look.server}: {late}"))
    ]


def _work(todo: "queue.SimpleQueue[tuple[int, Look]]", answers: _Answers, deadline: Deadline) -> None:
    while deadline.remaining > 0:
        try:
            number, look = todo.get_nowait()
        except queue.Empty:
            return
        try:
            readings = list(look.ask())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result of this look
            log.warning("%s of %s: %s", ", ".join(look.alarms), look.subject or look.server, error)
            readings = look.unknown(f"{type(error).__name__}: {error}")
        answers.keep(number, readings)
