"""What the noisy labels of a sweep can tell apart: the selection resolution of data and noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from noisetune.config import TrialConfig
from noisetune.data.base import DataConfig, ImageData
from noisetune.noise.base import clean_slope, noisy_accuracy
from noisetune.selection import group_of, selection_resolution
from noisetune.stages.labels import clean_part, draw_labels
from noisetune.sweep.spec.sweep import Sweep

METRIC = "val/accuracy"
"""The objective that has a resolution: a loss has no binomial error."""

ASSUMED = 0.8
"""The clean accuracy at which a plan gives the resolution; the better, the finer it is."""


@dataclass(frozen=True)
class SelectingLabels:
    """The noisy labels that a trial is chosen by.

    `count` is how many there are, `slope` how many points of accuracy on them a point of clean
    accuracy is worth, `assumed` the accuracy on them (0..1) of a network with a clean one of 0.8.
    Both follow from the expected transition matrix; no choice hangs on them.
    """

    count: int
    slope: float
    assumed: float


@dataclass(frozen=True)
class Resolution:
    """The standard error of a choice at a clean accuracy of 0.8, in units of clean accuracy.

    `group` are the factors of data and noise, `labels` and `slope` those of `SelectingLabels`.
    `one_trial` is the error of one trial's score, `replicates` that of the mean over a winner's
    replicates; None where the noisy labels tell nothing (a slope of zero or less).
    """

    group: dict[str, Any]
    labels: int
    slope: float
    one_trial: float | None
    replicates: float | None


def selecting_labels(config: TrialConfig, data: ImageData) -> SelectingLabels:
    """The labels that trials of this data set and noise are chosen by; UserError where the noise
    does not fit the data set."""
    selected = draw_labels(config, data).selected
    clean = clean_part(config, data, selected.part)
    matrix = config.noise.transition_matrix(clean)
    prior = np.bincount(clean.labels, minlength=clean.classes)
    return SelectingLabels(
        count=len(selected.rows),
        slope=clean_slope(matrix, prior),
        assumed=noisy_accuracy(matrix, ASSUMED, prior),
    )


def resolutions(sweep: Sweep, load: Callable[[DataConfig], ImageData]) -> list[Resolution]:
    """The resolution of each data and noise of a sweep, in the order of its conditions; none
    where its objective is another one than validation accuracy. `load` gives the images."""
    if sweep.config.objective.metric != METRIC:
        return []
    groups: dict[str, Resolution] = {}
    for condition in sweep.conditions:
        group = group_of(condition.factors)
        if repr(group) not in groups:
            trial = condition.trial(next(iter(condition.corners())))
            labels = selecting_labels(trial, load(trial.data))
            groups[repr(group)] = _resolution(group, labels, sweep.config.first_replicates)
    return list(groups.values())


def _resolution(group: dict[str, Any], labels: SelectingLabels, replicates: int) -> Resolution:
    one, mean = (
        selection_resolution(labels.assumed, labels.count * count, labels.slope)
        for count in (1, max(1, replicates))
    )
    return Resolution(group, labels.count, labels.slope, finite(one), finite(mean))


def finite(resolution: float) -> float | None:
    """The resolution, or None where there is none: JSON knows no infinity."""
    return resolution if math.isfinite(resolution) else None
