"""Parts in turns, in random order, until the interval of each ratio of theirs is narrow.

What counts is the ratio of two parts within a round, since other work on the machine hits the parts
of a round alike; the order is drawn anew for each round, so that no part always follows the same.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import psutil

from noisetune.analysis.intervals import median_interval


@dataclass(frozen=True)
class Spent:
    """Seconds that a part took: by the clock, and of processors, those of its workers included."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Part:
    """What is measured: `run` does so many `batches`, with the help of `workers`."""

    run: Callable[[], None]
    batches: int = 1
    workers: tuple[psutil.Process, ...] = ()

    def cpu(self) -> float:
        """Seconds of processors that all threads of this process and the workers have had."""
        return time.process_time() + sum(sum(each.cpu_times()[:2]) for each in self.workers)


@dataclass(frozen=True)
class Until:
    """When rounds end: once the 95 % interval of each ratio is at most `within` of it (0.05: 5 %)
    to either side, on average; after so many `rounds`; or once `seconds` are over, when no new one
    begins. `seed` draws the order of the parts.

    The interval is that of a median, so no fewer than six rounds make it narrow. One that stops
    when it is so covers the ratio in 92 % and more of runs where times are log-normal with a spread
    of 2 to 20 %, instead of 95 %.
    """

    within: float = 0.05
    rounds: int = 200
    seconds: float = 600.0
    seed: int = 0


Round = Mapping[str, Spent]


@dataclass(frozen=True)
class Versus:
    """A ratio: the seconds of the fastest of some parts over those of another one."""

    over: tuple[str, ...]
    under: str

    def of(self, spent: Round, kind: str) -> float:
        fastest = min(getattr(spent[name], kind) for name in self.over)
        return float(fastest / getattr(spent[self.under], kind))


@dataclass(frozen=True)
class Estimate:
    """The median of a ratio over rounds, and its 95 % interval; None for fewer than six."""

    ratio: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Self:
        values = np.array(ratios, dtype=np.float64)
        low, high = median_interval(values) or (None, None)
        return cls(float(np.median(values)), low, high)

    def is_within(self, share: float) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.high - self.low <= 2 * share * self.ratio


def take_rounds(
    parts: Mapping[str, Callable[[], Spent]],
    ratios: Mapping[str, Versus],
    until: Until,
    clock: Callable[[], float] = time.monotonic,
) -> list[Round]:
    """What each part took in each round; there is always one."""
    draw, order, rounds, began = random.Random(until.seed), list(parts), list[Round](), clock()
    while True:
        draw.shuffle(order)
        taken = {name: parts[name]() for name in order}
        rounds.append({name: taken[name] for name in parts})
        enough = len(rounds) >= until.rounds or clock() - began > until.seconds
        if enough or not wide(estimates(rounds, ratios), until.within):
            return rounds


def estimates(
    rounds: Sequence[Round], ratios: Mapping[str, Versus]
) -> dict[str, dict[str, Estimate]]:
    """Each ratio by the clock (`wall`) and in seconds of processors (`cpu`)."""
    return {
        name: {
            kind: Estimate.of([versus.of(each, kind) for each in rounds])
            for kind in ("wall", "cpu")
        }
        for name, versus in ratios.items()
    }


def wide(found: Mapping[str, Mapping[str, Estimate]], within: float) -> list[str]:
    """The ratios, by name and kind, whose interval is not narrow yet."""
    return [
        f"{name} ({kind})"
        for name, kinds in found.items()
        for kind, estimate in kinds.items()
        if not estimate.is_within(within)
    ]


def ratio_figures(
    rounds: Sequence[Round], ratios: Mapping[str, Versus], until: Until
) -> dict[str, Any]:
    """For a report: the rounds, their ratios, and which of these are not known `within` what was
    asked for."""
    found = estimates(rounds, ratios)
    return {
        "rounds": len(rounds),
        "within": until.within,
        "ratios": {
            name: {kind: asdict(estimate) for kind, estimate in kinds.items()}
            for name, kinds in found.items()
        },
        "wide": wide(found, until.within),
    }
