"""How well the noisy objective ranked trials, and what choosing by it cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from noisetune.analysis.statistics import kendall
from noisetune.analysis.summaries import FEWEST_RANKED
from noisetune.analysis.tables import plain_table
from noisetune.records import TrialRecord

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
    """The ranking in one condition; None for fewer than two trials."""
    found = [(value if maximize else -value, clean) for _, value, clean in scored(records)]
    if len(found) < 2:
        return None
    pairs = np.array(found)
    chosen = float(pairs[pairs[:, 0].argmax(), 1])
    tau = kendall(list(pairs[:, 0]), list(pairs[:, 1])) if len(pairs) >= FEWEST_RANKED else None
    low, high = (None, None) if tau is None else _interval(pairs)
    return Ranking(condition, len(pairs), tau, low, high, float(pairs[:, 1].max()) - chosen)


def _interval(pairs: np.ndarray) -> tuple[float | None, float | None]:
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
        f"by bootstrap over trials from {FEWEST_RESAMPLED} on\n"
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
