"""What every noise model promises, those to come included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from noisetune.config import PLUGINS
from noisetune.noise.base import NoiseConfig

MODELS = sorted(PLUGINS["noise"])
RARE = 1e-10
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 12)
rates = st.floats(0, 1)


def noise(model: str, rate: float) -> NoiseConfig:
    """The model at `rate`, if it has one, and else as it is without settings."""
    config = PLUGINS["noise"][model]
    try:
        return config(rate=rate) if "rate" in config.model_fields else config()
    except ValidationError as error:
        pytest.skip(f"{model} needs more settings than a rate: {error}")


def draw(count: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, count)


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes, seed=seeds)
def test_it_is_a_pure_function_of_labels_and_generator(
    model: str, rate: float, classes: int, seed: int
) -> None:
    labels = draw(50, classes, seed)
    before = labels.copy()
    first, second = (
        noise(model, rate).corrupt(labels, classes, np.random.default_rng(seed)) for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert np.array_equal(labels, before)


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes, count=st.integers(0, 50), seed=seeds)
def test_noisy_labels_are_labels(
    model: str, rate: float, classes: int, count: int, seed: int
) -> None:
    labels = draw(count, classes, seed)
    noisy = noise(model, rate).corrupt(labels, classes, np.random.default_rng(seed))
    assert noisy.dtype == np.int64
    assert noisy.shape == labels.shape
    assert not np.shares_memory(noisy, labels)
    assert ((noisy >= 0) & (noisy < classes)).all()


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes)
def test_the_transition_matrix_is_row_stochastic(model: str, rate: float, classes: int) -> None:
    matrix = noise(model, rate).transition_matrix(classes)
    assert matrix.shape == (classes, classes)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


@pytest.mark.parametrize("model", MODELS)
@given(rate=rates, classes=sizes, seed=seeds)
def test_every_realised_transition_is_as_likely_as_the_matrix_says(
    model: str, rate: float, classes: int, seed: int
) -> None:
    config, count = noise(model, rate), 2000
    labels = np.repeat(np.arange(classes), count)
    noisy = config.corrupt(labels, classes, np.random.default_rng(seed))
    pairs = np.bincount(labels * classes + noisy, minlength=classes**2)
    expected = config.transition_matrix(classes).clip(0, 1).ravel()
    assert (pairs >= binom.ppf(RARE, count, expected)).all()
    assert (pairs <= binom.ppf(1 - RARE, count, expected)).all()


@pytest.mark.parametrize("model", MODELS)
def test_other_seeds_give_other_wrong_labels_where_any_are_wrong(model: str) -> None:
    labels, config = draw(200, 5, 0), noise(model, 0.5)
    noisy = [config.corrupt(labels, 5, np.random.default_rng(seed)) for seed in (1, 2)]
    wrong = any((one != labels).any() for one in noisy)
    assert np.array_equal(*noisy) != wrong
