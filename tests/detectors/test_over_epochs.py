"""Detectors of what happened while the network learned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.detectors import aum, wrong_events
from noisetune.detectors.base import Evidence
from noisetune.errors import UserError

seeds = st.integers(0, 2**31)
CHANCES = np.full((3, 4), 0.25)


@given(seeds, st.integers(1, 6), st.integers(1, 9))
def test_wrong_events_are_the_epochs_without_the_given_label(
    seed: int, epochs: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 3, count), rng.integers(0, 3, (epochs, count))
    evidence = Evidence(labels, np.full((count, 3), 1 / 3), predictions=predicted)
    expected = [0] * count
    for epoch in predicted:
        for image, label in enumerate(epoch):
            expected[image] += int(label != labels[image])
    judgement = wrong_events.Config().judge(evidence)
    assert judgement.suspicion.tolist() == expected
    assert judgement.mask is None


@given(seeds, st.integers(1, 9))
def test_the_lower_the_mean_margin_of_its_label_the_more_suspicious(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    margins = rng.normal(size=(count, 3)).astype(np.float32)
    evidence = Evidence(labels, np.full((count, 3), 1 / 3), margins=margins)
    expected = [-margins[image, label] for image, label in enumerate(labels)]
    judgement = aum.Config().judge(evidence)
    assert judgement.suspicion.tolist() == expected
    assert judgement.mask is None


@pytest.mark.parametrize("detector", [wrong_events.Config(), aum.Config()], ids=lambda d: d.method)
def test_what_was_not_kept_is_said(detector: wrong_events.Config | aum.Config) -> None:
    with pytest.raises(UserError, match=f"detect: {detector.method} reads .* store gc"):
        detector.check(Evidence([0, 1, 2], CHANCES))
