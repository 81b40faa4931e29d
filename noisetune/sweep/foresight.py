"""What the planned replicates of a sweep can establish, before it starts."""

import math
import statistics
from dataclasses import dataclass

from noisetune.analysis.power import (
    largest_spread_for_equality,
    replicates_for,
    smallest_difference,
)
from noisetune.analysis.question import answers
from noisetune.analysis.summaries import summarise
from noisetune.errors import UserError
from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.spec.comparisons import POINT
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.comparing import pairs_of, question_of
from noisetune.sweep.study.recorded import recorded_sweep, standing_records

ASSUMED = 4.0
"""Points: the spread of a paired difference where no earlier sweep shows one."""
Kind = tuple[str, str, bool]
"""Names of data set and model, and whether replicates are searches."""
FEWEST = 3
"""So many differences show a spread."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation of a paired difference, in points of accuracy, and where it is from."""

    points: float
    source: str


@dataclass(frozen=True)
class Foresight:
    """What `replicates` of each condition establish over so many `pairs`, with a chance of 80 %.

    `smallest` is the difference, in points, that they do; None where they are too few for any.
    `for_half` is how many it takes for half of that, or for 5 points where there is none; None for
    over 200. Where replicates grow until conditions are equal within `margin` points, `equal_up_to`
    is the spread up to which that comes out, 0 where it cannot.
    """

    pairs: int
    replicates: int
    spread: Spread
    smallest: float | None
    for_half: int | None
    margin: float | None = None
    equal_up_to: float | None = None

    @property
    def unreachable(self) -> bool:
        """Whether equality, which the replicates grow for, is out of reach."""
        return self.equal_up_to is not None and self.equal_up_to < self.spread.points


def foresee(sweep: Sweep, home: Home | None) -> Foresight | None:
    """What a sweep's replicates establish; None where it compares nothing, or has none.

    The spread is that of an earlier sweep in `home` with the same data set and model, whose
    replicates were searches where these are.
    """
    config = sweep.config
    pairs = len(pairs_of(config, sweep.cells))
    if not pairs or not config.most_replicates:
        return None
    spread = (home and _earlier(sweep, home)) or Spread(ASSUMED, "assumed")
    n, level, growing = config.most_replicates, config.comparisons.level, config.growing
    smallest = smallest_difference(n, spread.points, pairs, level)
    half = 5.0 if math.isinf(smallest) else smallest / 2
    margin = None if growing is None else growing.until.difference
    return Foresight(
        pairs=pairs,
        replicates=n,
        spread=spread,
        smallest=None if math.isinf(smallest) else smallest,
        for_half=replicates_for(half, spread.points, pairs, level),
        margin=margin,
        equal_up_to=margin and largest_spread_for_equality(n, margin, pairs, level),
    )


def _earlier(sweep: Sweep, home: Home) -> Spread | None:
    """The spread in the earlier sweep of the same kind with the most replicates."""
    trial = sweep.conditions[0].trial(next(iter(sweep.conditions[0].corners())))
    kind = trial.data.name, trial.model.name, sweep.config.searches is not None
    found = [(n, name, spread) for name in home.names() for n, spread in _spreads(home, name, kind)]
    if not found:
        return None
    n, name, spread = max(found)
    return Spread(spread, f"of sweep {name}, n = {n}")


def _spreads(home: Home, name: str, kind: Kind) -> list[tuple[int, float]]:
    """Replicates and median spread, in points, of a sweep of this kind; nothing of any other."""
    try:
        sweep, ledger = recorded_sweep(home, name)
        records = standing_records(home, ledger, sweep.cells)
    except UserError:
        return []
    if sweep.config.smoke or sweep.config.objective.several or not _is_of(records, kind[:2]):
        return []
    if kind[2] != (sweep.config.searches is not None):
        return []
    summaries = summarise(records, sweep.config.objective.maximize)
    question = question_of(ledger, sweep.config, sweep.cells)
    found = [
        (each.fixed.difference.n, each.spread)
        for each in answers(summaries, question, question.epoch)
        if each.spread and each.fixed.difference.n >= FEWEST
    ]
    if not found:
        return []
    points = statistics.median(spread for _, spread in found) / POINT
    return [(min(n for n, _ in found), points)]


def _is_of(records: list[TrialRecord], kind: tuple[str, str]) -> bool:
    configs = [record.config for record in records if record.config]
    return bool(configs) and all(
        (each["data"]["name"], each["model"]["name"]) == kind for each in configs[:1]
    )
