"""The sliding window counter: how many requests were let through in the last minute, about, by two numbers.

Windows follow each other. Of the window before the present one, that part counts which is no longer ago than a window:
it is taken to have been spread evenly. So in no window more is let through than the limit. In a span that is no window
it can be more, if the requests came in bursts, and never as much as twice the limit.

There are two forms of the same arithmetic, in whole milliseconds: ``take`` in this process, and ``SCRIPT`` in Redis. A
test holds them against each other.
"""

from typing import Final, NamedTuple


class Rate(NamedTuple):
    """A limit.

    :ivar requests: that are let through
    :ivar window: in so many milliseconds
    """

    requests: int
    window: int


class Counts(NamedTuple):
    """What is known of one name.

    :ivar start: when the present window began, in milliseconds since 1970
    :ivar previous: requests that were let through in the window before
    :ivar current: requests that were let through in this window
    """

    start: int
    previous: int
    current: int


NOTHING: Final = Counts(0, 0, 0)

SCRIPT: Final = """
local requests, window, asked = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local start = now - now % window
local kept = redis.call('HMGET', KEYS[1], 'start', 'previous', 'current')
local age = kept[1] and start - kept[1]
local previous, current = 0, 0
if age == 0 then
  previous, current = tonumber(kept[2]), tonumber(kept[3])
elseif age == window then
  previous = tonumber(kept[3])
end
local used = current + math.ceil(previous * (window - now + start) / window)
local given = math.max(0, math.min(asked, requests - used))
if given > 0 then
  current = current + given
  redis.call('HSET', KEYS[1], 'start', start, 'previous', previous, 'current', current)
  redis.call('PEXPIRE', KEYS[1], 2 * window)
end
return {given, now, previous, current}
"""
"""For Redis: take some requests under the key, by Redis' clock. Return how many are given, the time, and the counts."""


def at(counts: Counts, now: int, window: int) -> Counts:
    """Return the counts as they are in the window of another moment."""
    start = now - now % window
    if start == counts.start:
        return counts
    return Counts(start, counts.current if start == counts.start + window else 0, 0)


def left(counts: Counts, now: int, rate: Rate) -> int:
    """Return how many requests may still be let through, of counts that are those of this moment."""
    recent = -(-counts.previous * (counts.start + rate.window - now) // rate.window)
    return max(0, rate.requests - counts.current - recent)


def take(counts: Counts, now: int, asked: int, rate: Rate) -> tuple[int, Counts]:
    """Return how many of the requests that are asked for are given, and the counts from then on."""
    counts = at(counts, now, rate.window)
    given = min(asked, left(counts, now, rate))
    return given, counts._replace(current=counts.current + given)


def wait(counts: Counts, now: int, rate: Rate) -> int:
    """Return the milliseconds after which a request is let through, if none is before."""
    counts = at(counts, now, rate.window)
    if left(counts, now, rate):
        return 0
    free = rate.requests - 1 - counts.current
    if free >= 0:  # in this window, when enough of the one before is a window ago
        return counts.start + rate.window - free * rate.window // counts.previous - now
    # In the next one, when enough of this one is.
    return counts.start + 2 * rate.window - (rate.requests - 1) * rate.window // counts.current - now
