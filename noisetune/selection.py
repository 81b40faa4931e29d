"""The rules by which epochs and trials are chosen: who is compared with whom, who wins, how sure
that is.

Each stands here once, for who chooses and for the tables that show what was chosen.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, get_args

from noisetune.records import MetricPoint

Choice = Literal["last", "noisy_best", "label_wave", "oracle"]
"""Of the epochs of fine-tuning: the last, the best by noisy validation, the first at which the
predictions of training images stood still (Label Wave), the best by clean test."""
CHOICES: tuple[Choice, ...] = get_args(Choice)

NOISY, CLEAN, CHANGED = "val/accuracy", "test/accuracy", "train/changed_predictions"
WINDOW = 3
"""Epochs over which changed predictions are averaged, this one and those before it."""

GROUPING = ("data", "noise")
"""What conditions must have in common to be compared: sections, and factors of their bundles."""

ROUNDING = 1e-9
"""Differences below this are the rounding of floats, not a finding."""


class Numbered(Protocol):
    """A trial: its number says which of two came first."""

    @property
    def number(self) -> int: ...


Trial = TypeVar("Trial", bound=Numbered)


def choose_epochs(points: Sequence[MetricPoint]) -> dict[Choice, MetricPoint]:
    """What each rule chooses of the epochs of a fine-tuning so far: one or more, in their order.

    With a further epoch each choice stays, or becomes that one. `label_wave` is left out where an
    epoch is of an earlier version, which did not record changed predictions.
    """
    chosen: dict[Choice, MetricPoint] = {
        "last": points[-1],
        "noisy_best": best_epoch(points, NOISY),
    }
    if all(CHANGED in point.values for point in points):
        chosen["label_wave"] = label_wave(points)
    return chosen | {"oracle": best_epoch(points, CLEAN)}


def best_epoch(points: Sequence[MetricPoint], metric: str) -> MetricPoint:
    """The first of the epochs with the highest value of `metric`; None counts as 0."""
    return max(points, key=lambda point: point.values.get(metric) or 0.0)


def label_wave(points: Sequence[MetricPoint]) -> MetricPoint:
    """The epoch at which Label Wave stops (Yuan et al. 2024, arXiv 2502.07551): the first local
    minimum of the share of training images that are predicted otherwise than an epoch before.

    The share is averaged over `WINDOW` epochs, or as many as there are. Where it never rises the
    choice is the first of the lowest; of a single epoch, which has nothing to change from, itself.
    """
    shares = [(point, value) for point in points if (value := point.values[CHANGED]) is not None]
    best, lowest = points[-1], math.inf
    for place, (point, _) in enumerate(shares):
        recent = [share for _, share in shares[max(0, place + 1 - WINDOW) : place + 1]]
        average = sum(recent) / len(recent)
        if average > lowest + ROUNDING:
            break
        if average < lowest - ROUNDING:
            best, lowest = point, average
    return best


def is_grouping(field: str) -> bool:
    """Whether a dotted field, or the factor of this name, is of what is compared within."""
    return field.split(".")[0] in GROUPING


def group_of(factors: Mapping[str, Any]) -> dict[str, Any]:
    """The factors that make conditions comparable: equal data, equal noise."""
    return {field: value for field, value in factors.items() if is_grouping(field)}


def blocks_of(
    cells: Iterable[tuple[str, Mapping[str, Any]]], across: Sequence[str]
) -> list[list[str]]:
    """The conditions (name, factors) that are equal in every factor but those `across` which they
    are to share something, block by block, in their order."""
    blocks: dict[str, list[str]] = {}
    for name, factors in cells:
        kept = {field: value for field, value in factors.items() if field not in across}
        blocks.setdefault(repr(kept), []).append(name)
    return list(blocks.values())


def best_trial(
    trials: Iterable[Trial], objective: Callable[[Trial], float | None], maximize: bool
) -> Trial | None:
    """The winner: the trial with the best `objective`, the earlier of equals; None of none.

    An objective of None counts as 0.
    """
    sign = -1 if maximize else 1
    return min(
        trials, key=lambda trial: (sign * (objective(trial) or 0.0), trial.number), default=None
    )


def selection_resolution(noisy_accuracy: float, labels: int, slope: float) -> float:
    """Standard error of an accuracy (0..1) on so many noisy `labels`, in units of clean accuracy.

    The binomial error over the `slope`: how much of a gain in clean accuracy shows in the noisy
    one. It is infinite when the slope is zero or less, and in units of noisy accuracy when it is
    1. An accuracy of 0 or 1 is taken as 1/(n+1) from it, since no finite sample proves a rate of
    exactly that.
    """
    if slope <= ROUNDING:
        return math.inf
    edge = 1 / (labels + 1)
    share = min(max(noisy_accuracy, edge), 1 - edge)
    return math.sqrt(share * (1 - share) / labels) / slope
