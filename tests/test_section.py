"""True is no number, wherever one is asked for."""

from typing import Any

import pytest

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.overrides import override_all
from noisetune.sweep.spec.space import parse_space

SWEEP = {"name": "mine", "search_space": "mine"}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"finetune": {"epochs": True}}, "finetune.epochs"),
        ({"noise": {"rate": True}}, "noise.rate"),
        ({"pretrain": {"method": "simclr", "temperature": True}}, "pretrain.temperature"),
        ({"finetune": {"augment": {"crop_scale": [True, 1]}}}, "finetune.augment.crop_scale"),
        ({"runtime": {"threads": True}}, "runtime.threads"),
        ({"replicate": True}, "replicate"),
    ],
)
def test_true_is_no_number_of_a_trial(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(UserError, match=rf"the test: {field}:.* it should be a number"):
        TrialConfig.parse(raw, "the test")


@pytest.mark.parametrize(
    "field", ["trials_per_condition", "max_concurrent", "resources.cpu", "budget.hours"]
)
def test_true_is_no_number_of_a_sweep(field: str) -> None:
    with pytest.raises(UserError, match=f"the test: {field}: True: it should be a number"):
        parse_sweep(override_all(SWEEP, [f"{field}=true"]), "the test")


def test_true_is_no_bound_of_a_parameter() -> None:
    space = {"parameters": {"finetune.epochs": {"low": True, "high": 3}}}
    with pytest.raises(UserError, match=r"finetune\.epochs\.low: True: it should be a number"):
        parse_space(space, "the test")


def test_true_is_a_value_where_one_is_asked_for() -> None:
    assert TrialConfig.parse({"runtime": {"compile": True}}, "the test").runtime.compile is True
    assert parse_sweep({**SWEEP, "repeatable": True}, "the test").repeatable
