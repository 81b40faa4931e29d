from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from noisetune.config import TrialConfig
from noisetune.records import MetricPoint
from noisetune.stages.base import Inputs
from noisetune.stages.detect import detect_key, detect_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, NullStore, StageKey

Drive = Callable[..., tuple[list[MetricPoint], Artifact]]
ORIGIN = StageKey("finetune", 1, {})
TRUE = [0, 0, 1, 1]
GIVEN = [0, 1, 1, 0]
LOGITS = {
    # The network is right of all four, or of the two whose given label is right, and sure of it.
    "logits.selected": [[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]],
    "logits.last": [[9.0, 0.0], [0.0, 9.0], [0.0, 9.0], [9.0, 0.0]],
}
NETWORK = Artifact({name: torch.tensor(rows) for name, rows in LOGITS.items()})


@pytest.fixture
def detect(
    tiny_trial: Callable[..., TrialConfig],
    inputs_of: Callable[[TrialConfig], Inputs],
    drive: Drive,
) -> Callable[..., tuple[list[MetricPoint], Artifact]]:
    """Detection among four images of two classes, two of them mislabelled."""

    def detect(given: list[int] = GIVEN, **settings: Any) -> tuple[list[MetricPoint], Artifact]:
        inputs = inputs_of(tiny_trial(detect={"filter_by": "predicted_neq_given", **settings}))
        labels = replace(inputs.labels, test=np.array(given))
        inputs = replace(
            inputs, data=replace(inputs.data, y_test=torch.tensor(TRUE)), labels=labels
        )
        stage = detect_stage(inputs, NETWORK, detect_key(inputs.config, ORIGIN))
        return drive(run_stage(stage, NullStore()))

    return detect


def test_a_network_that_is_right_finds_all_errors(detect: Callable[..., Any]) -> None:
    _, made = detect()
    assert made.tensors["flagged"].tolist() == [1, 3]
    scores = made.record["scores"]
    assert [scores[name] for name in ("f1", "precision", "recall", "auroc")] == [1, 1, 1, 1]
    assert scores["f1_flag_all"] == pytest.approx(2 * 0.5 / 1.5)


def test_a_network_that_believes_the_labels_finds_none(detect: Callable[..., Any]) -> None:
    _, made = detect(checkpoint="last")
    assert made.tensors["flagged"].tolist() == []
    assert made.record["scores"]["recall"] == 0
    assert made.record["scores"]["precision"] is None


@pytest.mark.parametrize(
    ("checkpoint", "clean", "noisy"), [("selected", 1.0, 0.5), ("last", 0.5, 1.0)]
)
def test_calibration_is_told_against_clean_and_against_given_labels(
    detect: Callable[..., Any], checkpoint: str, clean: float, noisy: float
) -> None:
    """By hand: all four confidences are sigmoid(9), in one bin."""
    scores = detect(checkpoint=checkpoint)[1].record["scores"]
    sure = 1 / (1 + np.exp(-9.0))
    assert scores["ece"] == pytest.approx(abs(clean - sure))
    assert scores["ece_noisy"] == pytest.approx(abs(noisy - sure))


def test_what_is_undefined_without_errors_is_null(detect: Callable[..., Any]) -> None:
    scores = detect(given=TRUE)[1].record["scores"]
    assert scores["f1"] is None
    assert scores["auroc"] is None
    assert scores["error_rate"] == 0


def test_its_scores_are_its_one_point_at_step_0(detect: Callable[..., Any]) -> None:
    (point,), made = detect()
    assert (point.stage, point.step) == ("detect", 0)
    assert point.values == {f"detect/{k}": value for k, value in made.record["scores"].items()}


def test_the_key_holds_the_network_and_the_settings(
    tiny_trial: Callable[..., TrialConfig],
) -> None:
    def key(origin: StageKey = ORIGIN, **settings: str) -> StageKey:
        return detect_key(tiny_trial(detect=settings), origin)

    assert key() == key()
    others = [key(filter_by="both"), key(checkpoint="last"), key(StageKey("finetune", 1, {"a": 1}))]
    assert len({key(), *others}) == 4
