"""How well the noisy objective ranked trials, and what choosing by it cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from noisetune.analysis.statistics import kendall, mean_interval
from noisetune.analysis.summaries import FEWEST_RANKED
from noisetune.analysis.tables import plain_table
from noisetune.records import TrialRecord

Pairs = NDArray[np.float64]
"""Objective, higher being better, and clean accuracy of each trial (n, 2)."""
RESAMPLES = 400
FEWEST_RESAMPLED = 6
"""Resamples of fewer trials are too much alike."""
CLEAN = "test/accuracy_at_noisy_best"


@dataclass(frozen=True)
class Ranking:
    """Of the complete search trials of a condition: Kendall's `tau` of objective and clean accuracy
    with its 95 % interval (None: too few), and how many points of clean accuracy the choice by the
    objective is `behind` that of an oracle.
    """

    condition: str
    n: int
    tau: float | None
    low: float | None
    high: float | None
    behind: float


def scored(records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float, float]]:
    """The complete search trials, with objective and clean accuracy at the noisy-best epoch."""
    return [
        (each, each.objective, clean)
        for each in records
        if each.kind == "search"
        and each.state == "complete"
        and each.objective is not None
        and (clean := each.metrics.get(CLEAN)) is not None
    ]


def ranking_of(condition: str, records: Sequence[TrialRecord], maximize: bool) -> Ranking | None:
    """The ranking in one condition; None for fewer than two trials.

    Where each replicate is a search, it is the mean over these: trials of several do not compare.
    """
    sign = 1 if maximize else -1
    searches: dict[int, list[tuple[float, float]]] = {}
    for trial, value, clean in scored(records):
        searches.setdefault(trial.seed, []).append((sign * value, clean))
    ranked = [np.array(pairs) for pairs in searches.values() if len(pairs) > 1]
    if not ranked:
        return None
    taus = [tau for pairs in ranked if (tau := _tau(pairs)) is not None]
    tau = sum(taus) / len(taus) if taus else None
    low, high = (None, None) if tau is None else _ends(ranked, taus)
    behind = [pairs[:, 1].max() - pairs[pairs[:, 0].argmax(), 1] for pairs in ranked]
    return Ranking(condition, sum(map(len, ranked)), tau, low, high, float(np.mean(behind)))


def _tau(pairs: Pairs) -> float | None:
    known = len(pairs) >= FEWEST_RANKED
    return kendall(list(pairs[:, 0]), list(pairs[:, 1])) if known else None


def _ends(ranked: Sequence[Pairs], taus: Sequence[float]) -> tuple[float | None, float | None]:
    """Of one search the bootstrap over its trials, of several the interval of their mean."""
    if len(ranked) == 1:
        return _interval(ranked[0])
    interval = mean_interval(taus)
    return interval.low, interval.high


def _interval(pairs: Pairs) -> tuple[float | None, float | None]:
    """Percentiles of the bootstrap over trials."""
    if len(pairs) < FEWEST_RESAMPLED:
        return None, None
    rows = np.random.default_rng(0).integers(0, len(pairs), (RESAMPLES, len(pairs)))
    drawn = [kendall(list(pairs[row, 0]), list(pairs[row, 1])) for row in rows]
    known = [tau for tau in drawn if tau is not None]
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def ranking_table(rankings: Sequence[Ranking], metric: str) -> Table:
    """One row a condition."""
    table = plain_table(f"how {metric} ranked the complete search trials by clean accuracy")
    table.caption = (
        "tau: Kendall's, of objective and clean test accuracy at the noisy-best epoch, with 95 % "
        f"by bootstrap over trials from {FEWEST_RESAMPLED} on; of several searches the mean\n"
        "behind: points of clean accuracy between the trial that was chosen and the best one"
    )
    table.add_column("condition")
    for heading in ("trials", "tau", "95 %", "behind"):
        table.add_column(heading, justify="right")
    for each in rankings:
        tau = "" if each.tau is None else f"{each.tau:+.2f}"
        ends = "" if each.low is None else f"{each.low:+.2f} .. {each.high:+.2f}"
        table.add_row(each.condition, str(each.n), tau, ends, f"{100 * each.behind:.1f}")
    return table
