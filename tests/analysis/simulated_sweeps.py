"""Simulated sweeps: groups of a baseline and two methods, looked at after every replicate."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noisetune.analysis.evidence import difference_log_p, equality_log_p
from noisetune.analysis.verdicts import holm_logs

Values = NDArray[np.float64]
Shape = Literal["normal", "skewed", "collapsing"]
ALPHA = 0.05


def arms(shape: Shape, size: tuple[int, ...], rng: np.random.Generator) -> Values:
    """Accuracies in points around 80, of a spread of about 3 where none collapses."""
    normal = 80 + 3 * rng.normal(size=size)
    if shape == "skewed":
        return 84 - 3 * rng.exponential(size=size)
    if shape == "collapsing":
        return np.where(rng.random(size) < 0.1, 10 + rng.normal(size=size), normal)
    return normal


def differences(
    sweeps: int,
    pairs: int,
    looks: int,
    rng: np.random.Generator,
    draw: Callable[[tuple[int, ...]], Values],
    baseline: Callable[[tuple[int, ...]], Values] | None = None,
) -> Values:
    """Of two methods to the baseline that they share, in pairs/2 groups (sweeps, pairs, looks)."""
    groups = pairs // 2
    shared = (baseline or draw)((sweeps, groups, 1, looks))
    return (draw((sweeps, groups, 2, looks)) - shared).reshape(sweeps, pairs, looks)


def gaps(sweeps: int, pairs: int, looks: int, mean: float, sd: float, seed: int = 0) -> Values:
    """Normal paired differences of this mean and spread, with the dependence of a shared arm."""
    rng = np.random.default_rng(seed)

    def draw(size: tuple[int, ...]) -> Values:
        return rng.normal(size=size) * sd / np.sqrt(2)

    if pairs == 1:
        return mean + draw((sweeps, 1, looks)) + draw((sweeps, 1, looks))
    return mean + differences(sweeps, pairs, looks, rng, draw)


def claimed(values: Values) -> NDArray[np.bool_]:
    """Whether a pair has been claimed to differ by each look (sweeps, pairs, looks)."""
    return holm_logs(difference_log_p(values)) <= np.log(ALPHA)


def declared_equal(values: Values, margin: float) -> NDArray[np.bool_]:
    """Whether a pair has been declared equal by each look (sweeps, pairs, looks)."""
    return holm_logs(equality_log_p(values, margin)) <= np.log(ALPHA)


def ever_in_a_table(rejected: NDArray[np.bool_]) -> float:
    """The share of sweeps whose table ever claims anything."""
    return float(rejected[..., -1].any(axis=1).mean())


def stops(rejected: NDArray[np.bool_]) -> Values:
    """The replicate at which each pair is answered; one more than there are for none."""
    looks = rejected.shape[-1]
    return np.where(rejected[..., -1], rejected.argmax(axis=-1) + 1.0, looks + 1.0)
