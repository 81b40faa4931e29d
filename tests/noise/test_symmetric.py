import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from noisetune.noise.symmetric import Config

RARE = 1e-10
seeds = st.integers(0, 2**32 - 1)


@given(classes=st.integers(2, 100), seed=seeds)
def test_a_flipped_label_is_never_its_own_class(classes: int, seed: int) -> None:
    labels = np.arange(500) % classes
    noisy = Config(rate=1).corrupt(labels, classes, np.random.default_rng(seed))
    assert (noisy != labels).all()


@given(rate=st.floats(0, 1), classes=st.integers(2, 20), seed=seeds)
def test_the_realised_rate_is_binomial(rate: float, classes: int, seed: int) -> None:
    labels = np.arange(5000) % classes
    wrong = (
        Config(rate=rate).corrupt(labels, classes, np.random.default_rng(seed)) != labels
    ).sum()
    assert binom.ppf(RARE, 5000, rate) <= wrong <= binom.ppf(1 - RARE, 5000, rate)


@given(classes=st.integers(2, 20), seed=seeds)
def test_no_rate_is_no_noise(classes: int, seed: int) -> None:
    labels = np.arange(100) % classes
    noisy = Config(rate=0).corrupt(labels, classes, np.random.default_rng(seed))
    assert np.array_equal(noisy, labels)


@given(low=st.floats(0, 1), high=st.floats(0, 1), seed=seeds)
def test_a_higher_rate_keeps_the_wrong_labels_of_a_lower_one(
    low: float, high: float, seed: int
) -> None:
    """From equal generators."""
    low, high = sorted((low, high))
    labels = np.arange(200) % 7
    less, more = (
        Config(rate=rate).corrupt(labels, 7, np.random.default_rng(seed)) for rate in (low, high)
    )
    wrong = less != labels
    assert np.array_equal(less[wrong], more[wrong])


def test_the_matrix_by_hand() -> None:
    expected = [[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]]
    np.testing.assert_allclose(Config(rate=0.6).transition_matrix(3), expected)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(ValidationError, match="rate"):
        Config(rate=rate)
