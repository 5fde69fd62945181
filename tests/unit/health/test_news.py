"""What is told: each thing once when it has lasted, once when it is over; nothing is lost, nothing is said twice."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from searchsync.health import news
from searchsync.health.maintenance import Window
from searchsync.health.memory import Memory
from searchsync.health.verdict import State, Verdict

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STEP = timedelta(minutes=5)


def verdict(
    state: State, alarm: str = "cluster-red", *, subject: str = "", entity: str = "", looks: int = 1, seen: str = "seen"
) -> Verdict:
    limit, runbook = ">= 1 status", "docs/operations/alarms.md"
    return Verdict(alarm, subject, entity, state, None, limit, seen, "A signal.", "P0", runbook, looks)


class Story:
    """Looks, five minutes apart; the memory goes through JSON each time, as it does in Airflow."""

    def __init__(self, windows: Mapping[str, Window] | None = None) -> None:
        self.now, self.memory, self.windows = BEGIN, Memory(), windows or {}

    def look(self, *verdicts: Verdict, after: timedelta = STEP) -> list[str]:
        self.now += after
        self.memory, messages = news.advance(self.memory, verdicts, self.windows, self.now)
        self.memory = Memory.read(json.loads(json.dumps(self.memory.as_json())))
        return messages

    def looks(self, states: str, looks: int = 1) -> list[bool]:
        """Whether each look made news; a letter for each: bad, good, unknown."""
        of = {"b": State.BAD, "g": State.GOOD, "u": State.UNKNOWN}
        return [bool(self.look(verdict(of[one], looks=looks))) for one in states]


def test_it_is_told_once_and_once_that_it_is_over() -> None:
    story = Story()
    (said,) = story.look(verdict(State.BAD, seen="2 shards"))
    for part in ("*P0* *cluster-red*", "A signal. 2 shards", "since 2026-03-01 12:05 UTC", "docs/operations/alarms.md"):
        assert part in said
    assert story.looks("bbb") == [False] * 3
    (said,) = story.look(verdict(State.GOOD))
    assert "*over*: P0 cluster-red, since 2026-03-01 12:05 UTC" in said
    assert story.looks("ggg") == [False] * 3


def test_it_has_to_last_as_many_looks_as_its_row_wants() -> None:
    assert Story().looks("bbgbbgbbb", looks=3) == [False] * 8 + [True], "what flaps is not told"


def test_that_it_is_over_has_to_last_as_well() -> None:
    assert Story().looks("bbbggbggg", looks=3) == [False, False, True] + [False] * 5 + [True]
    assert Story().looks("b" * 12 + "ggg", looks=12)[-4:] == [True, False, False, True], "three looks at most"


def test_a_look_that_failed_is_neither() -> None:
    story = Story()
    assert story.looks("b") == [True]
    assert story.looks("uu") == [False, False], "it counts as wrong still"
    (said,) = story.look(verdict(State.UNKNOWN, seen="no answer"))
    assert "*not known*: cluster-red: no answer" in said
    assert story.looks("bb") == [False, False]
    (said,) = story.look(verdict(State.BAD))
    assert "*known again*: cluster-red" in said
    assert "*P0*" not in said, "that it is wrong was told before"
    (said,) = story.look(verdict(State.GOOD))
    assert "*over*: P0 cluster-red" in said


def test_looks_that_fail_alike_are_one_line() -> None:
    story, away = Story(), [verdict(State.UNKNOWN, name, seen="OpenSearch is away") for name in ("a", "b", "c")]
    assert story.look(*away) == story.look(*away) == []
    (said,) = story.look(*away)
    assert "not known*: a, b, c: OpenSearch is away" in said
    assert "3 not known" in said


def test_runs_by_hand_make_nothing_last_longer() -> None:
    story = Story()
    bad = verdict(State.BAD, looks=3)
    assert [story.look(bad, after=timedelta(seconds=10)) for _ in range(6)] == [[]] * 6
    assert [bool(story.look(bad)) for _ in range(2)] == [False, True]


def test_a_silence_that_was_forgotten_is_told_every_week() -> None:
    story, forgotten = Story(), verdict(State.BAD, "silence-forgotten", subject="old")
    told = [bool(story.look(forgotten, after=timedelta(days=1))) for _ in range(15)]
    assert [day for day, said in enumerate(told) if said] == [0, 7, 14]


def test_many_things_make_several_messages_that_slack_takes() -> None:
    many = [verdict(State.BAD, f"row-{number}", seen="x" * 500) for number in range(30)]
    messages = Story().look(*many)
    assert len(messages) > 1
    assert all(len(message) < 2_900 for message in messages)
    assert all(sum(f"*row-{number}*" in message for message in messages) == 1 for number in range(30))


def test_no_news_is_lost_or_doubled_whatever_happens() -> None:
    """For each thing, bad and over take turns; each story ends well, and then nothing is left that was told."""
    choose = random.Random(7)
    names = {f"row-{looks}": looks for looks in (1, 2, 3, 12)}
    for _ in range(60):
        story, told = Story(), dict.fromkeys(names, 0)
        lasting = dict.fromkeys(names, 0)
        for step in range(60):
            ending = step >= 50
            states = {name: State.GOOD if ending else choose.choice([*State]) for name in names}
            said = " ".join(story.look(*(verdict(state, name, looks=names[name]) for name, state in states.items())))
            for name, state in states.items():
                lasting[name] = {State.BAD: lasting[name] + 1, State.UNKNOWN: lasting[name]}.get(state, 0)
                bad, over = f"*P0* *{name}*:" in said, f"*over*: P0 {name}," in said
                assert not (bad and over)
                assert bad == (told[name] == 0 and lasting[name] >= names[name] and state is State.BAD)
                assert not over or told[name] == 1
                told[name] += bad - over
        assert told == dict.fromkeys(names, 0)
        assert story.memory.conditions == {}


# -- windows


def window(name: str, begin: int, end: int, what: str = "all") -> Window:
    """From and until in minutes after the beginning."""
    since, until = (BEGIN + timedelta(minutes=at) for at in (begin, end))
    return Window(name, what, since, until, who="Ada", why="Larger nodes.")


def told(story: Story, *states: Sequence[Verdict]) -> list[list[str]]:
    return [story.look(*verdicts) for verdicts in states]


def test_a_window_keeps_quiet_and_says_afterwards_what_happened_and_what_still_is() -> None:
    story = Story({"work": window("work", 5, 20)})
    came, stays = verdict(State.BAD, "came"), verdict(State.BAD, "stays")
    gone = verdict(State.GOOD, "came")
    first, second, third, after, later = told(story, [came], [came, stays], [gone, stays], [gone, stays], [gone])
    assert first == second == third == []
    (said,) = after
    assert "the maintenance window work (Larger nodes. Ada) is over" in said
    assert "P0 came: 2026-03-01 12:05 UTC to 2026-03-01 12:15 UTC" in said
    assert "P0 stays: since 2026-03-01 12:10 UTC, and *it still is*" in said
    (said,) = later
    assert "*over*: P0 stays" in said


def test_the_borders_of_a_window() -> None:
    """The first moment belongs to it, the last does not."""
    for minute, quiet in ((4, False), (5, True), (19, True), (20, False)):
        story = Story({"work": window("work", 5, 20)})
        assert (story.look(verdict(State.BAD), after=timedelta(minutes=minute)) == []) is quiet, minute


def test_what_was_told_before_a_window_and_ends_in_it_is_said_after_it() -> None:
    story = Story({"work": window("work", 10, 20)})
    assert told(story, [verdict(State.BAD)])[0]
    within, still, after = told(story, [verdict(State.GOOD)], [verdict(State.GOOD)], [verdict(State.GOOD)])
    assert within == still == []
    assert "P0 cluster-red: 2026-03-01 12:05 UTC to 2026-03-01 12:10 UTC" in after[0]
    assert len(after) == 1


def test_a_window_of_an_entity_keeps_nothing_else_quiet() -> None:
    story = Story({"work": window("work", 0, 60, "members")})
    both = [verdict(State.BAD, subject=name, entity=name) for name in ("members", "locations")]
    (said,) = story.look(*both, verdict(State.BAD, "cluster-away"))
    assert "of locations" in said
    assert "cluster-away" in said
    assert "of members" not in said


def test_what_another_window_goes_on_keeping_quiet_is_said_when_that_is_over() -> None:
    story = Story({"first": window("first", 0, 10), "second": window("second", 5, 20)})
    bad = [verdict(State.BAD)]
    inside, first_over, quiet, second_over = told(story, bad, bad, bad, bad)
    assert inside == quiet == []
    assert "the rest is kept quiet by second" in first_over[0]
    assert "it still is" not in first_over[0]
    assert "it still is" in second_over[0]


def test_nothing_is_said_of_a_window_that_no_look_was_in() -> None:
    story = Story({"work": window("work", 1, 3)})
    assert told(story, [verdict(State.GOOD)], [verdict(State.GOOD)]) == [[], []]


def test_a_window_that_is_taken_out_of_the_file_is_over() -> None:
    story = Story({"work": window("work", 0, 60)})
    assert story.look(verdict(State.BAD)) == []
    story.windows = {}
    assert "it still is" in story.look(verdict(State.BAD))[0]
