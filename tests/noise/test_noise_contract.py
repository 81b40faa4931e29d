"""What every noise model promises, those to come included."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import balanced, drawn
from pydantic import ValidationError
from scipy.stats import binom

from noisetune.config import PLUGINS
from noisetune.noise.base import NoiseConfig, RateNoise

# Labels from a file are no draw: they have tests of their own.
MODELS = sorted(set(PLUGINS["noise"]) - {"human"})
BY_RATE = [name for name in MODELS if issubclass(PLUGINS["noise"][name], RateNoise)]
DRAWN = [name for name in MODELS if "draw" in PLUGINS["noise"][name].model_fields]
RARE = 1e-10
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 12)
rates = st.floats(0.01, 0.49)
draws = st.sampled_from(["iid", "exact"])


def noise(model: str, rate: float, classes: int, draw: str = "iid") -> NoiseConfig:
    """The model at `rate`, or of a random matrix, or else as it is without settings."""
    config = PLUGINS["noise"][model]
    matrix = np.random.default_rng(classes).dirichlet(np.ones(classes), classes)
    given: dict[str, Any] = {"rate": rate, "draw": draw, "matrix": matrix.tolist()}
    try:
        return config(**{name: given[name] for name in given.keys() & config.model_fields.keys()})
    except ValidationError as error:
        pytest.skip(f"{model} needs settings that are not known here: {error}")


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes, draw=draws, seed=seeds)
def test_it_is_a_pure_function_of_the_part_and_the_generator(
    model: str, rate: float, classes: int, draw: str, seed: int
) -> None:
    clean, config = drawn(50, classes, seed), noise(model, rate, classes, draw)
    before = clean.labels.copy()
    first, second = (config.corrupt(clean, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(clean.labels, before)


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes, count=st.integers(0, 50), draw=draws, seed=seeds)
def test_noisy_labels_are_labels(
    model: str, rate: float, classes: int, count: int, draw: str, seed: int
) -> None:
    clean = drawn(count, classes, seed)
    noisy = noise(model, rate, classes, draw).corrupt(clean, np.random.default_rng(seed))
    assert noisy.dtype == np.int64
    assert noisy.shape == clean.labels.shape
    assert not np.shares_memory(noisy, clean.labels)
    assert ((noisy >= 0) & (noisy < classes)).all()


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes, count=st.integers(0, 30))
def test_the_transition_matrix_is_row_stochastic(
    model: str, rate: float, classes: int, count: int
) -> None:
    matrix = noise(model, rate, classes).transition_matrix(drawn(count, classes, 0))
    assert matrix.shape == (classes, classes)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


@pytest.mark.parametrize("draw", ["iid", "exact"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("rate", "classes", "seed"), [(0.1, 10, 0), (0.45, 3, 1), (0.3, 7, 2)])
def test_every_realised_transition_is_as_likely_as_the_matrix_says(
    model: str, draw: str, rate: float, classes: int, seed: int
) -> None:
    config, clean = noise(model, rate, classes, draw), balanced(2000, classes)
    noisy = config.corrupt(clean, np.random.default_rng(seed))
    found = np.bincount(clean.labels * classes + noisy, minlength=classes**2)
    expected = config.transition_matrix(clean).clip(0, 1).ravel()
    assert (found >= binom.ppf(RARE, 2000, expected)).all()
    assert (found <= binom.ppf(1 - RARE, 2000, expected)).all()
    assert (found[expected == 0] == 0).all()


@pytest.mark.parametrize("model", MODELS)
def test_other_seeds_give_other_wrong_labels_where_any_are_wrong(model: str) -> None:
    clean, config = drawn(200, 5, 0), noise(model, 0.4, 5)
    noisy = [config.corrupt(clean, np.random.default_rng(seed)) for seed in (1, 2)]
    wrong = any((one != clean.labels).any() for one in noisy)
    assert np.array_equal(*noisy) != wrong


@pytest.mark.parametrize("model", DRAWN)
@given(rate=rates, classes=sizes, count=st.integers(1, 300), seed=seeds)
def test_an_exact_draw_has_the_expected_number_of_wrong_labels(
    model: str, rate: float, classes: int, count: int, seed: int
) -> None:
    """Rounded; and where the class decides, within one of what each class expects."""
    config, clean = noise(model, rate, classes, "exact"), drawn(count, classes, seed)
    wrong = config.corrupt(clean, np.random.default_rng(seed)) != clean.labels
    there = np.bincount(clean.labels, minlength=classes)
    expected = there * (1 - config.transition_matrix(clean).diagonal())
    assert abs(wrong.sum() - expected.sum()) <= 0.5 + 1e-6
    if model != "instance":
        found = np.bincount(clean.labels[wrong], minlength=classes)
        assert (np.abs(found - expected) < 1 + 1e-6).all()


@pytest.mark.parametrize("model", BY_RATE)
@given(low=rates, high=rates, draw=draws, seed=seeds)
def test_a_higher_rate_keeps_the_wrong_labels_of_a_lower_one(
    model: str, low: float, high: float, draw: str, seed: int
) -> None:
    """From equal generators, where equal classes leave no remainder to draw for."""
    draw = "iid" if model == "symmetric_inclusive" else draw
    low, high = (round(rate, 2) for rate in sorted((low, high)))
    clean = balanced(100, 4)
    less, more = (
        noise(model, rate, 4, draw).corrupt(clean, np.random.default_rng(seed))
        for rate in (low, high)
    )
    wrong = less != clean.labels
    assert np.array_equal(less[wrong], more[wrong])


@pytest.mark.parametrize("model", BY_RATE)
@given(classes=sizes, draw=draws, seed=seeds)
def test_no_rate_is_no_noise(model: str, classes: int, draw: str, seed: int) -> None:
    clean = drawn(100, classes, seed)
    noisy = noise(model, 0.0, classes, draw).corrupt(clean, np.random.default_rng(seed))
    assert np.array_equal(noisy, clean.labels)


@pytest.mark.parametrize("model", BY_RATE)
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(model: str, rate: float) -> None:
    with pytest.raises(ValidationError, match="rate"):
        PLUGINS["noise"][model](rate=rate)
