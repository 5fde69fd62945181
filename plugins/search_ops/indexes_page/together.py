"""Questions that are asked at once. One that hangs or fails takes no other along."""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from searchsync.deadline import Deadline


def together(questions: Mapping[str, Callable[[], Any]], *, seconds: float) -> dict[str, Any]:
    """Return the answer to each question, or the error that came instead of it.

    Each is asked in a thread of its own, because not all that may hang has a time-out: the name of a host, AWS'
    credentials. One that does not end in time goes on in its thread, which nobody waits for.

    :param seconds: that all of them together may take
    """
    deadline = Deadline.within(seconds)
    done: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def ask(name: str) -> None:
        try:
            done.put((name, questions[name]()))
        except Exception as error:
            done.put((name, error))

    for name in questions:
        threading.Thread(target=ask, args=(name,), daemon=True).start()
    answers: dict[str, Any] = {name: TimeoutError(f"no answer within {seconds:g} s") for name in questions}
    for _ in questions:
        try:
            name, answer = done.get(timeout=max(0.0, deadline.remaining))
        except queue.Empty:
            break
        answers[name] = answer
    return answers
