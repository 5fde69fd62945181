"""Which index is live for each entity, and which indexes get every write: asked each second, and remembered."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Never

import msgspec

from search_api.deadline import Deadline
from search_api.engine.client import Engine, EngineUnavailable
from search_api.problems import Problem
from searchsync.catalog import Entity

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 3.0
"""Seconds within which OpenSearch has to say where the aliases are."""


class _Index(msgspec.Struct):
    aliases: dict[str, msgspec.Raw]


_Found = dict[str, _Index]


@dataclass(frozen=True)
class _Seen:
    """What the aliases of an entity said last.

    :ivar live: the index that is read; None when there is none
    :ivar write_set: the indexes that every write reaches
    """

    live: str | None
    write_set: frozenset[str]


class LiveIndexes:
    """The indexes that the aliases of some entities stand for.

    ``run`` keeps them up to date. When OpenSearch does not answer, what was seen last stays.

    :param entities: those that are served
    """

    def __init__(self, engine: Engine, entities: Iterable[Entity]) -> None:
        self._engine = engine
        self._entities = {entity.name: entity for entity in entities}
        names = ",".join(alias for entity in self._entities.values() for alias in entity.aliases)
        self._path = f"/{names}/_alias?ignore_unavailable=true"  # no error for a name that is not there yet
        self._seen: dict[str, _Seen] = {}
        self._seen_at = float("-inf")
        self._asked_at = float("-inf")  # when the question was sent whose answer is known

    @property
    def age(self) -> float:
        """Seconds since OpenSearch last said where the aliases are; infinite when it never did."""
        return time.monotonic() - self._seen_at

    def of(self, entity: str) -> str:
        """Return the name of the entity's live index.

        :raises EngineUnavailable: when OpenSearch never said which it is
        :raises Problem: 404, when there is none
        """
        seen = self._known(entity)
        if seen.live is None:
            raise Problem(
                404,
                "no-index",
                f"{entity} has no live index yet.",
                next_step=f"Run {entity}_reindex; the index is found within a second after it is live.",
            )
        return seen.live

    def is_written(self, entity: str, index: str) -> bool:
        """Return whether an index gets every write of the entity, so that it can be searched beside the live one.

        :raises EngineUnavailable: as ``of``
        """
        return index in self._known(entity).write_set

    async def run(self) -> Never:
        """Ask each second, for ever."""
        well = True
        while True:
            try:
                await self.refresh()
                well = self._tell(well, None)
            except EngineUnavailable as error:
                well = self._tell(well, error.detail)
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Ask once.

        :raises EngineUnavailable: when the answer cannot be used, or not for each entity; what was seen last stays
        """
        asked_at = time.monotonic()
        answer = await self._engine.once("GET", self._path, None, Deadline(PATIENCE_SECONDS))
        try:
            if answer.status != 200:
                raise EngineUnavailable(f"OpenSearch answered {answer.status} to the question for the live indexes.")
            found: _Found = msgspec.json.decode(answer.body, type=_Found)
        except msgspec.DecodeError as error:
            raise EngineUnavailable("What answers the question for the live indexes is not OpenSearch.") from error
        if asked_at < self._asked_at:
            return  # who asked later was answered before, and knows of a later swap
        self._asked_at, self._seen_at = asked_at, time.monotonic()
        torn = [entity.name for entity in self._entities.values() if not self._look(entity, found)]
        if torn:  # the others are known, and served
            raise EngineUnavailable(f"These names stand for no single index: {', '.join(torn)}.")

    def _known(self, entity: str) -> _Seen:
        seen = self._seen.get(entity)
        if seen is None:
            raise EngineUnavailable("It is not known yet which index is live.")
        return seen

    def _look(self, entity: Entity, found: _Found) -> bool:
        live = _members(found, entity.read_alias)
        if len(live) > 1 or entity.read_alias in found:
            return False  # no swap leaves this: somebody made it by hand
        self._seen[entity.name] = _Seen(next(iter(live), None), frozenset(_members(found, entity.write_alias)))
        return True

    def _tell(self, well: bool, trouble: str | None) -> bool:
        if trouble and well:
            log.warning("the live indexes are not known anew, what was seen last stays: %s", trouble)
        elif not trouble and not well:
            log.warning("the live indexes are known again: %s", {name: seen.live for name, seen in self._seen.items()})
        return trouble is None


def _members(found: _Found, alias: str) -> Sequence[str]:
    return [name for name, index in found.items() if alias in index.aliases]
