"""Questions that are asked at once. One that hangs or fails takes no other along."""

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from searchsync.deadline import Deadline

AT_ONCE = 4
"""Questions to one server that are under way at once: it may be in trouble already."""


def together(questions: Mapping[str, Callable[[], Any]], *, seconds: float) -> dict[str, Any]:
    """Return the answer to each question, or the error that came instead of it.

    They are asked in threads, because not all that may hang has a time-out: the name of a host, AWS' credentials. One
    that does not end in time goes on in its thread, which nobody waits for.

    :param seconds: that all of them together may take
    """
    deadline = Deadline.within(seconds)
    left: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def ask() -> None:
        with suppress(queue.Empty):
            while deadline.remaining > 0:
                name = left.get_nowait()
                try:
                    done.put((name, questions[name]()))
                except Exception as error:
                    done.put((name, error))

    for name in questions:
        left.put(name)
    for _ in range(min(AT_ONCE, len(questions))):
        threading.Thread(target=ask, daemon=True).start()
    answers: dict[str, Any] = {name: TimeoutError(f"no answer within {seconds:g} s") for name in questions}
    for _ in questions:
        try:
            name, answer = done.get(timeout=max(0.0, deadline.remaining))
        except queue.Empty:
            break
        answers[name] = answer
    return answers
