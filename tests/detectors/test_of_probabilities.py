"""Detectors that read probabilities alone, against cleanlab's scores of label quality."""

import numpy as np
from cleanlab.rank import get_normalized_margin_for_each_label, get_self_confidence_for_each_label
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisetune.detectors import margin, self_confidence
from noisetune.detectors.base import Evidence


def drawn(seed: int, count: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, count), rng.dirichlet(np.full(classes, 0.3), count)


cases = st.builds(drawn, st.integers(0, 2**31), st.integers(1, 9), st.integers(2, 6))


@given(cases)
def test_self_confidence_is_cleanlabs(case: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    judgement = self_confidence.Config().judge(Evidence(*case))
    assert np.array_equal(-judgement.suspicion, get_self_confidence_for_each_label(*case))
    assert judgement.mask is None


@given(cases)
def test_the_margin_is_cleanlabs(case: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    """Which it normalises into 0..1."""
    judgement = margin.Config().judge(Evidence(*case))
    expected = get_normalized_margin_for_each_label(*case)
    np.testing.assert_allclose((1 - judgement.suspicion) / 2, expected, atol=1e-12)
    assert judgement.mask is None


@given(cases)
def test_the_margin_is_over_the_likeliest_other_class(
    case: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> None:
    for label, chances, found in zip(
        *case, margin.Config().judge(Evidence(*case)).suspicion, strict=True
    ):
        others = [chance for place, chance in enumerate(chances) if place != label]
        assert found == max(others) - chances[label]
