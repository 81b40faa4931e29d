import numpy as np
import pytest

from noisetune.detectors.base import Evidence


@pytest.mark.parametrize(
    ("given", "probs", "message"),
    [
        ([0, 1, 0], np.eye(2), r"given: shape \(3,\)"),
        ([0, 2], np.eye(2), r"given: labels 0\.\.2"),
        ([0, -1], np.eye(2), r"given: labels -1\.\.0"),
        ([0, 1], np.ones(2), "probabilities: shape"),
        ([0, 1], np.array([[np.nan, 1], [0, 1]]), "finite"),
    ],
)
def test_labels_and_probabilities_must_fit(
    given: list[int], probs: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Evidence(given, probs)
