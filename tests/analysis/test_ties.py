"""Equal methods tie, unequal ones do not, and the spread between seeds decides which."""

import math

import numpy as np
import pytest

from noisetune.analysis.ties import tied_methods, tied_settings


def tie_rate(n: int, spread: float, labels: int, gap: float = 0.0, sweeps: int = 600) -> float:
    """How often two methods tie whose noisy accuracies vary by `spread` and by binomial error."""
    rng = np.random.default_rng(n)
    found = 0
    for _ in range(sweeps):
        truth = 0.5 + spread * rng.normal(size=(2, n))
        truth[0] += gap
        scores = rng.binomial(labels, truth) / labels
        arms = {
            name: dict(enumerate(map(float, row))) for name, row in zip("ab", scores, strict=True)
        }
        means = {name: float(np.mean(list(arm.values()))) for name, arm in arms.items()}
        error = math.sqrt(0.25 / labels / n)
        best = max(means, key=lambda name: means[name])
        found += len(tied_methods(best, means, arms, dict.fromkeys("ab", error))) == 2
    return found / sweeps


@pytest.mark.parametrize("labels", [287, 2_000, 10_000])
def test_equal_methods_tie_however_many_labels_choose(labels: int) -> None:
    assert tie_rate(8, spread=0.02, labels=labels) >= 0.92


def test_methods_far_apart_do_not() -> None:
    assert tie_rate(8, spread=0.02, labels=2_000, gap=0.1) == 0


def test_several_equal_methods_all_tie() -> None:
    rng = np.random.default_rng(0)
    whole = 0
    for _ in range(400):
        arms = {name: dict(enumerate(map(float, rng.normal(0.5, 0.02, 8)))) for name in "abcd"}
        means = {name: float(np.mean(list(arm.values()))) for name, arm in arms.items()}
        best = max(means, key=lambda name: means[name])
        whole += len(tied_methods(best, means, arms, {})) == 4
    assert whole / 400 >= 0.93


def test_of_one_run_each_the_binomial_error_is_all_that_is_known() -> None:
    scores, errors = {"a": 0.60, "b": 0.56, "c": 0.50}, dict.fromkeys("abc", 0.02)
    assert tied_methods("a", scores, {}, errors) == {"a", "b"}
    assert tied_methods("a", scores, {}, {}) == {"a"}
    assert tied_methods("a", {"a": 0.5, "b": 0.5}, {}, {}) == {"a", "b"}


def test_differences_that_are_constant_are_no_tie_and_nan_is_none() -> None:
    arms = {"a": {1: 0.5, 2: 0.6}, "b": {1: 0.4, 2: 0.5}}
    assert tied_methods("a", {"a": 0.55, "b": 0.45}, arms, {}) == {"a"}
    assert tied_methods("a", {"a": 0.5, "b": math.nan}, {}, {"a": 1.0, "b": 1.0}) == {"a"}


def test_settings_tie_within_the_spread_of_replicates() -> None:
    replicates = [0.58, 0.60, 0.62, 0.60, 0.61, 0.59]
    assert tied_settings([0.60, 0.59, 0.58, 0.30], replicates) == 2
    assert tied_settings([0.60], replicates) == 0
    assert tied_settings([0.60, 0.59], replicates[:2]) is None
