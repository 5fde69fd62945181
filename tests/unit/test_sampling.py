"""Sampling: with too few nobody finds an example, with too many the log costs more than what it is about."""

import pytest

from searchsync.sampling import is_sampled

IDS = {
    "runs of a schedule": [
        f"members_sync/scheduled__2026-11-{day:02}T{hour:02}:05:00+00:00" for day in range(1, 31) for hour in range(24)
    ],
    "requests by number": [f"request-{number:04}" for number in range(1_000)],
}


@pytest.mark.parametrize("kind", IDS)
def test_a_tenth_of_the_ids_is_chosen_however_alike_they_are(kind: str) -> None:
    chosen = sum(map(is_sampled, IDS[kind])) / len(IDS[kind])
    assert 0.07 < chosen < 0.13


def test_another_process_chooses_the_same() -> None:
    """A run is many processes; half of its lines would be there."""
    assert [number for number in range(30) if is_sampled(f"members_seen/r{number}")] == [2, 10, 11]
