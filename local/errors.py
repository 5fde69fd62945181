"""The one error this package shows to a person."""


class LocalError(Exception):
    """Something about this machine or this checkout stands in the way; the message says what, and what to do.

    `./dev` prints it as a single line without a traceback, so the message has to stand on its own.
    """
