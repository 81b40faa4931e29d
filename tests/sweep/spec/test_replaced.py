"""A value that no trial has, because a condition sets its field, is looked at all the same."""

from typing import Any

import pytest

from noisetune.errors import UserError
from noisetune.sweep.spec.sweep import Sweep

LR = {"finetune.lr": {"low": 1e-4, "high": 1e-2}}
RATES: dict[str, Any] = {"conditions": {"noise.rate": [0.2, 0.6]}, "parameters": LR}
BUNDLES: dict[str, Any] = {
    "conditions": {"arm": {"short": {"finetune.epochs": 2}, "long": {"finetune.epochs": 4}}}
}
MODELS = {"conditions": {"noise.model": ["symmetric", "pairflip"]}}


def prepare(space: dict[str, Any], trial: dict[str, Any]) -> Sweep:
    return Sweep.read({"name": "mine", "trial": trial}, space)


@pytest.mark.parametrize(
    ("space", "trial", "complaint"),
    [
        (RATES, {"noise": {"rate": 1.4}}, r"trial: noise\.rate: 1\.4: it should be less than"),
        (RATES, {"noise": {"model": "pairflip", "rate": -1}}, r"trial: noise\.rate: -1: it should"),
        (RATES, {"noise": {"rate": True}}, r"trial: noise\.rate: True: it should be a number"),
        (RATES, {"finetune": {"lr": -1}}, r"trial: finetune\.lr: -1: it should be greater than 0"),
        (BUNDLES, {"finetune": {"epochs": 0}}, r"trial: finetune\.epochs: 0: it should be"),
        (MODELS, {"noise": {"model": "pairflop"}}, r"trial: noise\.model: 'pairflop' is unknown"),
    ],
)
def test_a_wrong_value_under_a_condition_is_refused(
    space: dict[str, Any], trial: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        prepare(space, trial)


@pytest.mark.parametrize(
    ("space", "trial"),
    [
        (RATES, {"noise": {"rate": 0.4}, "finetune": {"lr": 0.1}}),
        (MODELS, {"noise": {"model": "none"}}),
        (MODELS, {"noise": {"model": "symmetric", "rate": 0.4}}),
    ],
)
def test_a_right_one_is_not(space: dict[str, Any], trial: dict[str, Any]) -> None:
    assert len(prepare(space, trial).conditions) == 2
