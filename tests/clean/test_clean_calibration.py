"""On published predictions with known errors the probability is calibrated, or not given."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from noisetune.clean.looking import Look
from noisetune.clean.ranking import TOLERANCE
from noisetune.clean.verdicts import Verdicts, judge
from noisetune.config import DETECTORS
from noisetune.detectors._neighbours import Neighbours
from noisetune.detectors.base import Evidence

IMAGES, BINS = 10_000, 15
AGGRE, BETWEEN_FEW = "cifar10n_aggre_resnet18", "cl_repro_resnet50_noise0.4"


def published(folder: Path, name: str) -> tuple[NDArray, NDArray, NDArray]:
    """Given and true labels, and probabilities, of some of the images."""
    with np.load(folder / "detection" / f"{name}.npz") as file:
        rows = np.random.default_rng(0).choice(len(file["given"]), IMAGES, replace=False)
        given, true = (file[part][rows].astype(np.int64) for part in ("given", "true"))
        return given, true, file["pred_probs"][rows].astype(np.float64)


def verdicts_of(given: NDArray, probabilities: NDArray) -> Verdicts:
    features = np.random.default_rng(0).normal(size=(len(given), 4)).astype(np.float32)
    fold = np.arange(len(given)) % 5
    look = Look([Evidence(given, probabilities)], [fold], Neighbours(features))
    return judge(look, [DETECTORS["self_confidence"](), DETECTORS["margin"]()])


def calibration(probability: NDArray, wrong: NDArray) -> float:
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    totals = np.bincount(place, weights=wrong - probability, minlength=BINS)
    return float(np.abs(totals).sum() / len(wrong))


@pytest.mark.parametrize("planted", [None, 0.0, 0.02, 0.2])
def test_where_the_looks_agree_it_is_calibrated(shared_data: Path, planted: float | None) -> None:
    given, true, probabilities = published(shared_data, AGGRE)
    if planted is not None:
        rng = np.random.default_rng(1)
        wrong = rng.random(IMAGES) < planted
        given = np.where(wrong, (true + rng.integers(1, 10, IMAGES)) % 10, true)
        probabilities = probabilities * (1 - planted) + planted / 10
    verdicts = verdicts_of(given, probabilities)
    assert verdicts.probability is not None
    assert calibration(verdicts.probability, given != true) <= TOLERANCE
    if planted == 0.0:
        assert (verdicts.probability > 0.5).mean() <= 0.01


def test_where_they_differ_there_is_a_ranking_only(shared_data: Path) -> None:
    given, true, probabilities = published(shared_data, BETWEEN_FEW)
    verdicts = verdicts_of(given, probabilities)
    assert verdicts.probability is None
    first = verdicts.order[: IMAGES // 10]
    assert (given != true)[first].mean() > 2 * (given != true).mean()
