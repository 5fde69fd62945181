"""Which runs, requests and invocations are looked at closely: a tenth of them, chosen by their id.

Who decides by the id decides the same everywhere. So all that is written of one run or request is there, or nothing.
"""

import hashlib

RATIO = 0.1
"""Part of all ids that is looked at closely: their lines of level DEBUG are written, and of invocations a trace."""


def is_sampled(identity: str) -> bool:
    """Return whether what has this id is looked at closely. All processes and versions of Python agree.

    A checksum would not do: ids that differ in an hour or a number alone would not be a tenth.
    """
    digest = hashlib.blake2b(identity.encode(), digest_size=8).digest()
    return int.from_bytes(digest) < RATIO * 2**64
