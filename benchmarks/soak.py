"""Whether the search API stays right while what it needs fails, again and again, under load.

    ./dev bench soak [--minutes N] [--seed N]

People of several tenants ask the search API, which runs as a process of its own, about places and members whose right
answers are known. One after another, OpenSearch and Redis are killed and hung, and a proxy before OpenSearch delays,
cuts and answers with errors; meanwhile indexes are replaced. Each answer is right and the caller's own, and comes from
one index that is not older than any that was shown before; or it is 503 or 429 with ``Retry-After``. Stale answers are
marked, and while OpenSearch is well there are hardly any, nor refusals. The time is measured until all is well again,
and the memory. Prints a line for each trouble, a table, and a line of JSON; exit code 1 after a violation.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks._bars import Bar, conclude, say
from benchmarks._soak_load import Load
from benchmarks._soak_referee import CALM, GREEDY, LATEST_SECONDS, Referee, Scene
from benchmarks._soak_truth import ENTITIES, EVERYBODY, TENANTS
from benchmarks._soak_world import START, TROUBLES, Trouble, World, started
from search_api.cache.answers import MEMORY_BYTES
from searchsync.catalog import Entity

SEEN_SECONDS = 3.0
"""Time after which a new index is searched: the service asks each second which one is live."""

NEEDLESS = 0.01
"""Part of the answers that may be refused or stale while OpenSearch is well: on a busy machine it may be late, too."""

QUIET_SECONDS = 5.0
LONG_MINUTES = 5.0
"""A shorter run says nothing about memory, and not every trouble happens in it."""

LEAK_MB = 5.0
"""Memory by which the service may grow, beyond the answers that it keeps."""


@dataclass
class Soak:
    """A run.

    :ivar recoveries: seconds from the end of each trouble until all was well, by its name
    :ivar swaps: seconds from each swap without trouble until the new index was seen
    :ivar memory: bytes of the service, and of the answers that it was given to keep, second by second
    """

    world: World
    load: Load
    referee: Referee
    _chance: random.Random
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    swaps: list[float] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)

    async def run(self, minutes: float) -> None:
        """Make trouble after trouble under load, until the time is over."""
        end = time.monotonic() + 60 * minutes
        asking, watching = asyncio.create_task(self.load.run()), asyncio.create_task(self._watch())
        for trouble in self._troubles():
            if asking.done() or time.monotonic() > end:
                break
            await self._happen(trouble)
            await self._replace(self._chance.choice([*ENTITIES.values()]), timed=True)
            await asyncio.sleep(QUIET_SECONDS)
        self.load.stop()
        await asking
        watching.cancel()

    def _troubles(self) -> Iterator[Trouble]:
        """Yield what happens: first nothing but that all is cold, then one trouble after another, for ever."""
        yield START
        while True:
            yield from self._chance.sample(TROUBLES, len(TROUBLES))

    async def _happen(self, trouble: Trouble) -> None:
        scene = self.referee.scene
        scene.trouble, scene.may_refuse = trouble.name, trouble.may_refuse
        inflicted = trouble.inflict(self.world, self._chance)
        await asyncio.to_thread(inflicted.__enter__)
        await asyncio.sleep(trouble.seconds / 2)
        if trouble.swaps:
            await self._replace(self._chance.choice([*ENTITIES.values()]), timed=False)
        await asyncio.sleep(trouble.seconds / 2)
        await asyncio.to_thread(inflicted.__exit__, None, None, None)
        ended = time.monotonic()
        await self._until_well(trouble, ended)
        seconds = time.monotonic() - ended
        self.recoveries.setdefault(trouble.name, []).append(seconds)
        await asyncio.sleep(max(0.0, LATEST_SECONDS - seconds))  # what was asked meanwhile is answered by then
        scene.trouble, scene.may_refuse = CALM, False
        answers, wrong = dict(sorted(self.referee.answers[trouble.name].items())), self.referee.violations.total()
        say(f"{trouble.name}: well after {seconds:.1f} s; so far {answers}, {wrong} violations")

    async def _until_well(self, trouble: Trouble, since: float) -> None:
        """Wait until OpenSearch answers everybody anew, several times, and each dependency is there."""
        well = 0
        while well < 3:
            answered = [await self.load.fresh(whose) for whose in (*TENANTS, EVERYBODY)]
            ready = set((await self.load.ready()).values()) == {"ok"}
            well = well + 1 if all(answered) and ready else 0
            if time.monotonic() - since > trouble.well_after:
                self.referee.complain("not well again in time", f"{trouble.name}: {trouble.well_after} s")
                break
            await asyncio.sleep(0.2)

    async def _replace(self, entity: Entity, *, timed: bool) -> None:
        """Replace an entity's index. The old one is deleted at once, or, when timed, after the new one was seen."""
        scene = self.referee.scene
        generation = scene.newest[entity.name] + 1
        green = await asyncio.to_thread(self.world.prepare, entity, generation)
        scene.newest[entity.name] = generation
        blue = await asyncio.to_thread(self.world.swap, entity, green)
        if timed:
            await self._until_seen(entity, generation)
        await asyncio.to_thread(self.world.delete, entity, blue)

    async def _until_seen(self, entity: Entity, generation: int) -> None:
        began = time.monotonic()
        while self.referee.scene.shown[entity.name] < generation:
            if time.monotonic() - began > LATEST_SECONDS:
                self.referee.complain("a swap is not seen in time", f"{entity.name}, {generation}")
                break
            await asyncio.sleep(0.05)
        self.swaps.append(time.monotonic() - began)

    async def _watch(self) -> None:
        while True:
            self.memory.append((self.world.api.memory_info().rss, self.referee.kept))
            await asyncio.sleep(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak. Return the exit code: 0 when nothing was wrong."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(f"seed {options.seed}")
    with started(Path(os.environ["SEARCHSYNC_BENCH_DIR"]) / "soak") as world:
        tokens = {whose: world.issuer.token(whose, "tenant_user") for whose in (*TENANTS, GREEDY)}
        tokens[EVERYBODY] = world.issuer.token(None, "admin")
        expired = world.issuer.token(TENANTS[0], "tenant_user", seconds=-3_600)
        refused = [expired, tokens[EVERYBODY][:-8] + "AAAAAAAA", world.issuer.token(None, "tenant_user"), "none"]
        referee = Referee(Scene())
        soak = Soak(
            world,
            Load(world.url, tokens, refused, referee, random.Random(options.seed)),
            referee,
            random.Random(options.seed),
        )
        uvloop.run(soak.run(options.minutes))
    for what, example in referee.examples.items():
        say(f"VIOLATION, {referee.violations[what]} times: {what}: {example}")
    figures: dict[str, Any] = {"benchmark": "soak", "seed": options.seed, "recoveries": soak.recoveries}
    figures |= {
        "memory": soak.memory[:: max(1, len(soak.memory) // 20)],
        "answers": referee.answers,
        "swaps": soak.swaps,
        "walks": soak.load.walks,
    }
    return conclude(report(soak), {**figures, "violations": referee.violations}, bars(soak, options.minutes))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="(default: a new one)")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error("--minutes must be above 0: without an answer nothing is shown")
    return options


def bars(soak: Soak, minutes: float) -> list[Bar]:
    """Return what has to hold."""
    found = [Bar("violations", soak.referee.violations.total(), most=0)]
    share = soak.referee.needless / max(1, soak.referee.in_peace)
    found += [Bar("refused or stale without a reason, share of answers", share, most=NEEDLESS)]
    found += [Bar("a swap is seen after, s", max(soak.swaps, default=float("nan")), most=SEEN_SECONDS)]
    if minutes >= LONG_MINUTES:
        found += [Bar("memory that grew beyond the answers that are kept, MB", _leaked(soak.memory), most=LEAK_MB)]
        never = [trouble.name for trouble in TROUBLES if trouble.name not in soak.recoveries]
        found += [Bar("troubles that never happened", len(never), most=0)]
    return found


def _leaked(memory: Sequence[tuple[int, int]]) -> float:
    """Return how many MB more there are at the end than after a fifth of the time, without the answers kept since."""
    (before, kept_before), (after, kept_after) = memory[len(memory) // 5], memory[-1]
    return (after - before - min(kept_after - kept_before, MEMORY_BYTES)) / 1e6


def report(soak: Soak) -> str:
    """Return the table for people."""
    heads = ("answers", "hit", "miss", "stale", "404", "503", "429", "slowest", "well after")
    lines = [f"\n{'trouble':20}" + "".join(f"{head:>11}" for head in heads)]
    for name, answers in soak.referee.answers.items():
        counts = [answers[f"200 {state}"] for state in ("hit", "miss", "stale")]
        counts += [answers["404"], answers["503"], answers["429"]]
        cells = [f"{number:,}" for number in (answers.total(), *counts)]
        cells += [f"{soak.referee.slowest[name]:.2f} s"]
        cells += [f"{max(soak.recoveries[name]):.1f} s" if name in soak.recoveries else ""]
        lines.append(f"{name:20}" + "".join(f"{cell:>11}" for cell in cells))
    total = sum(answers.total() for answers in soak.referee.answers.values())
    lines.append(f"{total:,} answers, {soak.load.walks} walks through all pages, {len(soak.swaps)} swaps timed")
    rss, kept = soak.memory[-1][0] / 1e6, soak.referee.kept / 1e6
    lines.append(f"memory at the end: {rss:.0f} MB; it was given answers of {kept:.0f} MB to keep\n")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
