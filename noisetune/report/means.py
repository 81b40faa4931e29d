"""Means with intervals, and how much replicates differ, as they are drawn everywhere."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from noisetune.analysis.intervals import collapsed
from noisetune.analysis.statistics import FEW, mean_interval
from noisetune.analysis.summaries import ConditionSummary
from noisetune.report.arms import Panel
from noisetune.report.style import Look, marked
from noisetune.selection import Choice

BESIDE = 0.012
"""How far arms stand beside each other, as a share of the axis: their intervals stay apart."""
BARS = "Bars are the 95 % interval of the mean over replicates; small points are few replicates."
BANDS = "Lines are means over replicates, bands reach from the lowest to the highest of them."


def accuracies_of(summary: ConditionSummary, epoch: Choice) -> list[float]:
    """In %, of its replicates, or of the trial that was chosen where none ran."""
    values = list(summary.replicates[epoch].values())
    if not values and summary.winner is not None:
        alone = summary.winner.metrics.get(f"test/accuracy_at_{epoch}")
        values = [] if alone is None else [alone]
    return [100 * value for value in values]


def draw_means(
    ax: Axes,
    panel: Panel,
    where: Mapping[str, float],
    look: Mapping[str, Look],
    epoch: Choice,
    count: list[int],
    joined: bool = True,
) -> None:
    """Each arm's mean and interval at its places (by condition), joined by a line or not."""
    arms = list(dict.fromkeys(arm for arm, _ in panel.arms))
    span = (max(where.values()) - min(where.values())) or 1.0
    for number, arm in enumerate(arms):
        beside = (number - (len(arms) - 1) / 2) * BESIDE * span
        mine = {where[each.name] + beside: each for name, each in panel.arms if name == arm}
        means = [float(np.mean(accuracies_of(mine[place], epoch))) for place in sorted(mine)]
        style = look[arm].of_line if joined else {"color": look[arm].color, "linestyle": "none"}
        marked(ax.plot(sorted(mine), means, marker=look[arm].marker, **style), arm, count)
        for place, each in mine.items():
            _draw_spread(ax, place, each, epoch, arm, look[arm], count)


def _draw_spread(
    ax: Axes,
    place: float,
    summary: ConditionSummary,
    epoch: Choice,
    arm: str,
    look: Look,
    count: list[int],
) -> None:
    """The interval of the mean, and up to five replicates or those of which some collapsed."""
    values, gone = accuracies_of(summary, epoch), collapsed(summary.replicates[epoch])
    interval = mean_interval(values)
    if interval.low is not None and interval.high is not None and not gone:
        marked(ax.vlines(place, interval.low, interval.high, look.color), arm, count)
    if gone or 1 < len(values) <= FEW:
        points = ax.plot([place] * len(values), values, ms=2.5, alpha=0.6, **look.of_points)
        marked(points, arm, count)


def draw_band(
    ax: Axes,
    curves: Sequence[Sequence[tuple[float, float]]],
    arm: str,
    look: Look,
    count: list[int],
    scale: float = 1.0,
) -> None:
    """The mean of curves (x, y) at each x that all have, and a band from the lowest to the highest
    of them."""
    x, rows = aligned(curves)
    if not len(x):
        return
    if len(rows) > 1:
        low, high = scale * rows.min(axis=0), scale * rows.max(axis=0)
        band = ax.fill_between(x, low, high, color=look.color, alpha=0.18, linewidth=0)
        marked(band, arm, count)
    marker = look.marker if len(x) == 1 else "none"
    marked(ax.plot(x, scale * rows.mean(axis=0), marker=marker, **look.of_line), arm, count)


def aligned(
    curves: Sequence[Sequence[tuple[float, float]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The x that all curves have (n,), and their values there (curves, n)."""
    by_x = [dict(curve) for curve in curves if curve]
    shared = set.intersection(*map(set, by_x)) if by_x else set()
    x = sorted(shared)
    return np.array(x, dtype=np.float64), np.array([[each[at] for at in x] for each in by_x])
