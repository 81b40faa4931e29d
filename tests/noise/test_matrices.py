"""Facts about noise matrices: what an accuracy on noisy labels tells of the one on clean labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.noise.base import clean_slope, diagonally_dominant, noisy_accuracy

shares = st.floats(0, 1)


def symmetric(rate: float, classes: int) -> np.ndarray:
    matrix = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


PAIR_FLIP = [[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.2, 0.0, 0.8]]


def test_clean_slope_by_hand() -> None:
    """Rows give .7 - .15, .6 - .2 and .8 - .1."""
    assert clean_slope(PAIR_FLIP) == pytest.approx((0.55 + 0.4 + 0.7) / 3)
    assert clean_slope(PAIR_FLIP, [2, 1, 1]) == pytest.approx((2 * 0.55 + 0.4 + 0.7) / 4)


@given(st.floats(0, 0.99), st.integers(2, 20), st.integers(0, 99))
def test_clean_slope_of_symmetric_noise_is_the_formula_at_any_prior(
    rate: float, classes: int, seed: int
) -> None:
    prior = np.random.default_rng(seed).dirichlet(np.ones(classes))
    expected = pytest.approx(1 - rate - rate / (classes - 1), abs=1e-9)
    assert clean_slope(symmetric(rate, classes)) == expected
    assert clean_slope(symmetric(rate, classes), prior) == expected


@pytest.mark.parametrize("matrix", [PAIR_FLIP, symmetric(0.6, 3), symmetric(0.8, 3)])
def test_clean_slope_is_what_a_simulation_measures(matrix) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 400_000)
    noisy = (rng.random(len(true))[:, None] > np.cumsum(matrix, axis=1)[true]).sum(axis=1)

    def agreement(clean_accuracy: float) -> float:
        wrong = rng.random(len(true)) >= clean_accuracy
        guess = np.where(wrong, (true + rng.integers(1, 3, len(true))) % 3, true)
        return float(np.mean(guess == noisy))

    assert (agreement(0.9) - agreement(0.4)) / 0.5 == pytest.approx(clean_slope(matrix), abs=0.01)


def test_absent_classes_are_left_out_of_a_noise_matrix() -> None:
    matrix = [[0.9, 0.1, 0.0], [None, None, None], [0.0, 0.4, 0.6]]
    assert clean_slope(matrix) == pytest.approx((0.85 + 0.4) / 2)
    assert clean_slope(matrix, [3, 5, 1]) == pytest.approx((3 * 0.85 + 0.4) / 4)
    assert diagonally_dominant(matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0]], "shape"),
        ([[0.5, 0.5]], "shape"),
        ([[0.5, 0.4], [0, 1]], "sum to 1"),
        ([[None, 1.0], [0, 1]], "sum to 1"),
        ([[None, None], [None, None]], "one must occur"),
    ],
)
def test_a_matrix_that_is_none_is_refused(matrix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clean_slope(matrix)


@pytest.mark.parametrize(
    ("matrix", "dominant"),
    [
        (np.eye(4), True),
        (PAIR_FLIP, True),
        (symmetric(0.65, 3), True),
        (symmetric(2 / 3, 3), False),
        (symmetric(0.7, 3), False),
        ([[0.4, 0.35, 0.25], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], False),
    ],
)
def test_diagonally_dominant(matrix, dominant: bool) -> None:
    assert diagonally_dominant(matrix) is dominant


def test_noisy_accuracy_by_hand() -> None:
    """Right in .8 of the cases, one wrong class alike the other: rows .59, .52 and .66."""
    assert noisy_accuracy(PAIR_FLIP, 0.8) == pytest.approx((0.59 + 0.52 + 0.66) / 3)
    assert noisy_accuracy(np.eye(4), 0.8) == pytest.approx(0.8)


@given(shares, shares, st.integers(2, 20))
def test_noisy_accuracy_is_a_line_with_the_clean_slope(
    rate: float, clean: float, classes: int
) -> None:
    matrix = symmetric(rate, classes)
    line = noisy_accuracy(matrix, 0.0) + clean * clean_slope(matrix)
    assert noisy_accuracy(matrix, clean) == pytest.approx(line)
