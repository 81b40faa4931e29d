"""Detectors that break a promise, and what is said of them."""

from typing import Any, Literal

import numpy as np
import pytest

from noisetune.detectors.base import Detector, Evidence, Judgement
from noisetune.plugins import PluginConfig
from noisetune.testing import detectors as of_detectors
from noisetune.testing.promises import Check


def detector(judge: Any, **more: Any) -> type[Detector]:
    class Config(Detector):
        """One that breaks a promise."""

        method: Literal["broken"] = "broken"

        def judge(self, evidence: Evidence) -> Judgement:
            return judge(evidence)

    for name, value in more.items():
        setattr(Config, name, value)
    return Config


def own(evidence: Evidence) -> np.ndarray:
    return evidence.probabilities[np.arange(len(evidence.given)), evidence.given]


def writes(evidence: Evidence) -> Judgement:
    evidence.probabilities[:] *= 0.5
    return Judgement(-own(evidence))


def reads_in_secret(evidence: Evidence) -> Judgement:
    more = 0.0 if evidence.features is None else evidence.features.sum(axis=1)
    return Judgement(-own(evidence) + more)


def by_place(evidence: Evidence) -> Judgement:
    return Judgement(-own(evidence) + 0.001 * np.arange(len(evidence.given)))


def nearest(evidence: Evidence) -> Judgement:
    """By the distance from the mean of the given class, whichever network gave the features."""
    assert evidence.features is not None
    spread = np.empty(len(evidence.given))
    for label in np.unique(evidence.given):
        rows = evidence.given == label
        of_class = evidence.features[rows]
        spread[rows] = np.linalg.norm(of_class - np.median(of_class, axis=0), axis=1)
    return Judgement(spread)


CASES: list[tuple[type[PluginConfig], Check, str]] = [
    (detector(writes), of_detectors.it_changes_nothing_and_draws_nothing, "suspicion|changes the"),
    (detector(reads_in_secret), of_detectors.it_reads_what_it_declares, "without features"),
    (detector(by_place), of_detectors.the_order_of_the_labels_changes_nothing, "another order"),
    (
        detector(lambda evidence: Judgement(own(evidence))),
        of_detectors.wrong_labels_are_more_suspicious,
        "AUROC 0.0",
    ),
    (
        detector(lambda evidence: Judgement(np.log(own(evidence) - own(evidence)))),
        of_detectors.it_scores_every_label,
        "must be finite",
    ),
    (
        detector(lambda evidence: Judgement(-own(evidence), (own(evidence) < 0.5).astype(int))),
        of_detectors.it_scores_every_label,
        "must be bool",
    ),
    (
        detector(nearest, reads=("features",)),
        of_detectors.features_of_different_networks_are_not_compared,
        "two networks",
    ),
]


@pytest.mark.parametrize(
    ("config", "promise", "reason"), CASES, ids=[each.__name__ for _, each, _ in CASES]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_broken_promise_is_seen(config: type[PluginConfig], promise: Check, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        promise(config)
