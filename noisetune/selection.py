"""The rules by which trials are chosen: who is compared with whom, who wins, how sure that is.

Each stands here once, for the sweep that chooses and for the tables that show what was chosen.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

GROUPING = ("data", "noise")
"""What conditions must have in common to be compared: sections, and factors of their bundles."""

ROUNDING = 1e-9
"""Differences below this are the rounding of floats, not a finding."""


class Numbered(Protocol):
    """A trial: its number says which of two came first."""

    @property
    def number(self) -> int: ...


Trial = TypeVar("Trial", bound=Numbered)


def is_grouping(field: str) -> bool:
    """Whether a dotted field, or the factor of this name, is of what is compared within."""
    return field.split(".")[0] in GROUPING


def group_of(factors: Mapping[str, Any]) -> dict[str, Any]:
    """The factors that make conditions comparable: equal data, equal noise."""
    return {field: value for field, value in factors.items() if is_grouping(field)}


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
