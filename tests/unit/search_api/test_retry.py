"""When a call is made again: too often would make an overload worse, beyond the deadline it is of no use."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.engine import retry


@given(attempt=st.integers(1, 2), remaining=st.floats(1, 5))
def test_pauses_grow_from_100_ms_and_vary_by_half(attempt: int, remaining: float) -> None:
    seconds = retry.pause(attempt, remaining=remaining, asked=None)
    assert seconds is not None
    middle = 0.1 * 2 ** (attempt - 1)
    assert middle * 0.5 <= seconds <= middle * 1.5


def test_pauses_differ() -> None:
    """Callers that failed together come back at different moments."""
    assert len({retry.pause(1, remaining=5, asked=None) for _ in range(50)}) > 40


@given(remaining=st.floats(0, 5), asked=st.none() | st.floats(0, 100))
def test_no_fourth_attempt_and_none_beyond_the_deadline(remaining: float, asked: float | None) -> None:
    assert retry.pause(3, remaining=remaining, asked=asked) is None
    seconds = retry.pause(1, remaining=remaining, asked=asked)
    if seconds is not None:
        assert (asked or 0) <= seconds < remaining
    elif asked is None:
        assert remaining <= 0.15


def test_which_answers_are_worth_another_attempt() -> None:
    again = {status for status in range(200, 600) if retry.is_overload_or_fault(status)}
    assert again == {429, *range(500, 600)}


def test_a_date_is_as_good_as_a_number() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    seconds = retry.seconds_asked(moment)
    assert seconds is not None
    assert 55 < seconds <= 60
    assert retry.seconds_asked("7") == 7
    assert retry.seconds_asked("Mon, 30 Nov 2020 00:00:00 GMT") == 0


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "1.5", "٣", "Mon, 99 Nov 2020 00:00:00 GMT"])
def test_nonsense_says_nothing(text: str | None) -> None:
    assert retry.seconds_asked(text) is None
