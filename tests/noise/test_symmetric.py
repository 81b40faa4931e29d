"""The three kinds of symmetric noise, and pair-flip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from noisetune.config import PLUGINS
from noisetune.noise import pairflip, paper, symmetric, symmetric_inclusive
from noisetune.testing.noise import part_of

RARE = 1e-10
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("model", ["symmetric", "paper"])
@given(classes=st.integers(2, 100), seed=seeds)
def test_a_flipped_label_is_never_its_own_class(model: str, classes: int, seed: int) -> None:
    clean = part_of(np.arange(500) % classes, classes)
    noisy = PLUGINS["noise"][model](rate=1).corrupt(clean, np.random.default_rng(seed))
    assert (noisy != clean.labels).all()


@given(rate=st.floats(0, 1), classes=st.integers(2, 20), seed=seeds)
def test_the_realised_rate_is_binomial(rate: float, classes: int, seed: int) -> None:
    clean = part_of(np.arange(5000) % classes, classes)
    noisy = symmetric.Config(rate=rate).corrupt(clean, np.random.default_rng(seed))
    wrong = (noisy != clean.labels).sum()
    assert binom.ppf(RARE, 5000, rate) <= wrong <= binom.ppf(1 - RARE, 5000, rate)


@given(rate=st.floats(0, 1), count=st.integers(0, 400), seed=seeds)
def test_an_exact_draw_flips_the_rate_of_all_labels(rate: float, count: int, seed: int) -> None:
    clean = part_of(np.random.default_rng(seed).integers(0, 7, count), 7)
    config = symmetric.Config(rate=rate, draw="exact")
    wrong = (config.corrupt(clean, np.random.default_rng(seed)) != clean.labels).sum()
    assert abs(wrong - rate * count) <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (symmetric.Config(rate=0.6), [[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]]),
        (symmetric_inclusive.Config(rate=0.6), [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]),
        (paper.Config(rate=0.6), [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.4, 0.2, 0.4]]),
        (pairflip.Config(rate=0.3), [[0.7, 0.3, 0], [0, 0.7, 0.3], [0.3, 0, 0.7]]),
    ],
    ids=lambda value: getattr(value, "model", ""),
)
def test_the_matrix_by_hand(config: symmetric.Config, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(config.transition_matrix(part_of([], 3)), expected)


def test_the_papers_noise_is_that_of_its_words() -> None:
    """A draw from all classes, made again label by label; an own draw becomes the next class."""
    rng, count, rate = np.random.default_rng(0), 20_000, 0.6
    clean = np.arange(count) % 10
    drawn = rng.integers(0, 10, count)
    noisy = np.where(drawn == clean, (clean + 1) % 10, drawn)
    noisy = np.where(rng.random(count) < rate, noisy, clean)
    found = np.bincount((noisy - clean) % 10, minlength=10)
    ours = paper.Config(rate=rate).corrupt(part_of(clean, 10), rng)
    np.testing.assert_allclose(np.bincount((ours - clean) % 10, minlength=10), found, rtol=0.15)


def test_pairflip_stays_under_one_half() -> None:
    with pytest.raises(ValidationError, match=r"less than 0\.5"):
        pairflip.Config(rate=0.5)
