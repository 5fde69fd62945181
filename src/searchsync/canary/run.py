"""One question to the judge, and its answer: read the series, judge them, keep the record."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from searchsync.canary import cloudwatch as figures
from searchsync.canary import policy as policies
from searchsync.canary import series as given
from searchsync.canary.cloudwatch import Names, Window
from searchsync.canary.judge import Judgement, judge
from searchsync.canary.policy import Subject
from searchsync.canary.series import Series
from searchsync.catalog import entity as lookup
from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client
from searchsync.errors import BadParams

INDEX: Final = "searchsync-canary"
MOST: Final = 50

Record = dict[str, Any]
"""Fields of ``include/mappings/searchsync-canary.json``."""


@dataclass(frozen=True)
class Question:
    """What is to be judged.

    :ivar stage: percent of the traffic that the new version has
    :ivar deployment: of which it is a part, such as a commit
    :ivar baseline: the version of before; ``canary``: the new one
    :ivar entity: whose function it is; empty for what is of no entity
    :ivar since: ``until``, ``before``: times in ISO 8601, as ``Window`` has them; empty where the series are given
    :ivar series: of all signals; None when CloudWatch has them
    :ivar names: of ``baseline`` and ``canary``: what the dimensions of CloudWatch's signals are filled in with, beside
        ``entity`` and ``version``; None when they need no more
    """

    subject: str
    stage: int
    deployment: str
    baseline: str
    canary: str
    entity: str = ""
    since: str = ""
    until: str = ""
    before: str = ""
    series: Any = None
    names: Any = None


def answer(question: Question, cloudwatch: Callable[[], Any]) -> tuple[Judgement, Series]:
    """Judge. Change nothing.

    :param cloudwatch: returns boto3's client; called only when the series are not given
    :raises BadParams: when the policy or the question cannot be used
    :raises SearchSyncError: when CloudWatch does not answer
    """
    rules = policies.policy()
    subject, stage = rules.subject(question.subject), rules.stage(question.stage)
    if question.series is not None:
        series = given.parse(question.series, subject)
    else:
        if question.baseline == question.canary:  # it is as good as itself
            raise BadParams(f"both versions are {question.canary!r}: name two. Nothing was judged")
        window = _window(question, (_names(question, subject, "baseline"), _names(question, subject, "canary")))
        series = figures.read(cloudwatch(), rules, subject, stage, window)
    return judge(rules, subject, stage, series), series


def _names(question: Question, subject: Subject, side: str) -> Names:
    """Return what the dimensions of a subject's signals are filled in with for a side."""
    given_ = {} if question.names is None else question.names
    found = given_.get(side, {}) if isinstance(given_, Mapping) else None
    if not isinstance(found, Mapping) or not all(isinstance(value, str) and value for value in found.values()):
        raise BadParams(f"names must have baseline and canary, each with texts, not {given_!r:.80}. Nothing was judged")
    names = {"version": getattr(question, side), **found}
    if question.entity:
        names["entity"] = lookup(question.entity).name
    needed = {name for signal in subject.signals.values() if signal for name in signal.names()}
    if missing := sorted(name for name in needed if not names.get(name)):
        raise BadParams(f"{subject.name} needs {', '.join(missing)} of {side}, or the series. Nothing was judged")
    return names


def _window(question: Question, names: tuple[Names, Names]) -> Window:
    moments: dict[str, datetime | None] = {}
    for name in ("since", "until", "before"):
        text = getattr(question, name)
        try:
            moments[name] = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise BadParams(f"{name} is {text!r}, and must be a time in ISO 8601. Nothing was judged") from None
    since, until, before = moments.values()
    if since is None or until is None:
        raise BadParams("give the series, or since and until: the times of CloudWatch's. Nothing was judged")
    if not all(moment is None or moment.tzinfo for moment in moments.values()):
        raise BadParams("since, until and before need a time zone. Nothing was judged")
    return Window(since, until, before, names)


def record(question: Question, judgement: Judgement, run: str) -> Record:
    """Return the record of an answer.

    :param run: id of the run, as the library knows it
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run,
        "subject": question.subject,
        "entity": question.entity,
        "deployment": question.deployment,
        "share": question.stage,
        "baseline": question.baseline,
        "canary": question.canary,
        "verdict": judgement.verdict,
        "why": judgement.why,
        "findings": judgement.as_dict()["findings"],
    }


def keep(client: Client, found: Record) -> list[Record]:
    """Keep a record; a run that is repeated replaces its own.

    :returns: all records of the same deployment and subject, the newest first
    """
    documents = Bookkeeping(client, INDEX)
    documents.put(hashlib.sha256(found["run"].encode()).hexdigest()[:20], found)
    wanted = [{"term": {name: found[name]}} for name in ("deployment", "subject", "entity")]
    hits = documents.find({"size": MOST, "query": {"bool": {"filter": wanted}}, "sort": [{"at": "desc"}]})
    return [hit["_source"] for hit in hits]
