from typing import Any

import pytest

from noisetune.errors import UserError
from noisetune.sweep.spec.conditions import Condition, cross, validate
from noisetune.sweep.spec.space import SearchSpace

LR = {"low": 1e-4, "high": 1e-2}
METHODS = {"pretrain.method": ["none", "simclr", "barlow_twins"]}


def crossed(space: dict[str, Any], fixed: dict[str, Any] | None = None) -> list[Condition]:
    return cross(SearchSpace.model_validate(space), fixed or {})


def test_conditions_are_all_combinations_in_the_order_of_the_file() -> None:
    conditions = crossed({"conditions": {"noise.rate": [0.6, 0.2], **METHODS}})
    assert [each.index for each in conditions] == list(range(6))
    assert [each.name for each in conditions][:4] == [
        "noise.rate=0.6 pretrain.method=none",
        "noise.rate=0.6 pretrain.method=simclr",
        "noise.rate=0.6 pretrain.method=barlow_twins",
        "noise.rate=0.2 pretrain.method=none",
    ]
    trial = conditions[5].trial({})
    assert (trial.noise.rate, trial.pretrain.method) == (0.2, "barlow_twins")


def test_without_conditions_there_is_one() -> None:
    (condition,) = crossed({"parameters": {"finetune.lr": LR}})
    assert (condition.name, condition.factors) == ("all", {})


def test_a_trial_is_the_fixed_part_then_the_condition_then_the_sampled_values() -> None:
    fixed = {"finetune": {"lr": 0.5, "epochs": 3}, "noise": {"rate": 0.1}}
    (condition,) = crossed({"conditions": {"noise.rate": [0.6]}}, fixed)
    trial = condition.trial({"finetune.lr": 0.25}, replicate=4)
    assert (trial.finetune.lr, trial.finetune.epochs) == (0.25, 3)
    assert (trial.noise.rate, trial.replicate) == (0.6, 4)


def test_a_parameter_is_there_where_its_when_can_hold() -> None:
    parameters = {
        "pretrain.lr": LR | {"when": {"pretrain.method": ["simclr", "barlow_twins"]}},
        "pretrain.temperature": {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}},
        "finetune.lr": LR,
    }
    scratch, simclr, barlow = crossed({"conditions": METHODS, "parameters": parameters})
    assert set(scratch.parameters) == {"finetune.lr"}
    assert set(simclr.parameters) == set(parameters)
    assert set(barlow.parameters) == {"finetune.lr", "pretrain.lr"}
    validate([scratch, simclr, barlow])


@pytest.mark.parametrize("chosen", ["conditions", "parameters"])
def test_a_method_of_fine_tuning_brings_its_own_parameters(chosen: str) -> None:
    """Whether methods are compared or searched: each trial has those of its method alone."""
    own = {
        "finetune.q": {"low": 0.1, "high": 1.0, "when": {"finetune.method": "gce"}},
        "finetune.concentration": {"low": 0.1, "high": 32.0, "when": {"finetune.method": "mixup"}},
        "finetune.forget_rate": {
            "low": 0.1, "high": 0.8, "when": {"finetune.method": ["coteaching", "small_loss"]},
        },
    }  # fmt: skip
    methods = ["cross_entropy", "gce", "mixup", "coteaching", "small_loss"]
    space: dict[str, Any] = {"parameters": {"finetune.lr": LR, **own}}
    if chosen == "conditions":
        conditions = crossed(space | {"conditions": {"finetune.method": methods}})
    else:
        space["parameters"]["finetune.method"] = {"choices": methods}
        conditions = crossed(space)
    validate(conditions)
    seen = {
        str(trial.finetune.method): {name for name in own if name in values}
        for condition in conditions
        for values in condition.corners()
        for trial in [condition.trial(values)]
        if all(
            getattr(trial.finetune, name.removeprefix("finetune.")) == value
            for name, value in values.items()
        )
    }
    selecting = {"finetune.forget_rate"}
    assert seen == {
        "cross_entropy": set(), "gce": {"finetune.q"}, "mixup": {"finetune.concentration"},
        "coteaching": selecting, "small_loss": selecting,
    }  # fmt: skip


def test_a_when_may_speak_of_the_fixed_part_and_of_defaults() -> None:
    parameters = {
        "pretrain.temperature": {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}},
        "finetune.momentum": {"low": 0.1, "high": 0.9, "when": {"finetune.optimizer": "sgd"}},
    }
    fixed = {"finetune": {"optimizer": "sgd"}}
    (condition,) = crossed({"parameters": parameters}, fixed)
    assert set(condition.parameters) == set(parameters)


def test_a_when_that_holds_nowhere_is_refused() -> None:
    parameter = {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}}
    space = {
        "conditions": {"pretrain.method": ["none"]},
        "parameters": {"pretrain.temperature": parameter},
    }
    with pytest.raises(UserError, match=r"pretrain.temperature: when .*simclr.* holds in no cond"):
        crossed(space)


def test_a_when_on_a_parameter_without_that_choice_is_refused() -> None:
    parameters = {
        "finetune.optimizer": {"choices": ["adam", "adamw"]},
        "finetune.momentum": {"low": 0.1, "high": 0.9, "when": {"finetune.optimizer": "sgd"}},
    }
    with pytest.raises(UserError, match=r"finetune.momentum: when .*sgd.* holds in no condition"):
        crossed({"parameters": parameters})


def test_a_field_of_another_method_is_left_out_where_it_does_not_fit() -> None:
    fixed = {"pretrain": {"temperature": 0.3, "redundancy": 0.1}}
    scratch, simclr, barlow = crossed({"conditions": METHODS}, fixed)
    assert scratch.base["pretrain"] == {}
    assert simclr.base["pretrain"] == {"temperature": 0.3}
    assert barlow.base["pretrain"] == {"redundancy": 0.1}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"pretrain": {"temperature": 0.3}}, "trial: pretrain.temperature: no such field in any"),
        ({"pretrain": {"temprature": 0.3}}, "trial: pretrain.temprature: names no field"),
        ({"model": {"wdth": 4}}, "trial: model.wdth: names no field .* model.width"),
    ],
)
def test_a_field_that_fits_nowhere_is_refused(fixed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        crossed({"conditions": {"pretrain.method": ["none"]}}, fixed)


def test_corners_reach_every_choice_both_ends_and_each_branch() -> None:
    parameters = {
        "finetune.optimizer": {"choices": ["adam", "adamw", "sgd"]},
        "finetune.momentum": {"low": 0.1, "high": 0.9, "when": {"finetune.optimizer": "sgd"}},
        "finetune.batch_size": {"choices": [16, 32, 64, 128]},
    }
    (condition,) = crossed({"parameters": parameters})
    corners = list(condition.corners())
    assert {each["finetune.optimizer"] for each in corners} == {"adam", "adamw", "sgd"}
    assert {each["finetune.batch_size"] for each in corners} == {16, 32, 64, 128}
    with_momentum = [each for each in corners if "finetune.momentum" in each]
    assert {each["finetune.momentum"] for each in with_momentum} == {0.1, 0.9}
    assert {each["finetune.optimizer"] for each in with_momentum} == {"sgd"}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"conditions": {"noise.rate": [0.2, 1.4]}}, r"noise.rate=1.4.*: noise.rate: 1.4: it shou"),
        (
            {"parameters": {"finetune.momentum": {"low": 0.1, "high": 1.0}}},
            r"finetune.momentum=1.0.*: finetune.momentum: 1.0: it should be less than 1",
        ),
        (
            {"conditions": METHODS, "parameters": {"pretrain.lr": LR}},
            "pretrain.method=none.*: pretrain.lr: no such field",
        ),
    ],
)
def test_what_would_fail_later_fails_at_a_corner(space: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(crossed(space))


def test_the_method_may_be_a_parameter() -> None:
    parameters = {
        "pretrain.method": {"choices": ["none", "simclr"]},
        "pretrain.temperature": {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}},
    }
    (condition,) = crossed({"parameters": parameters})
    validate([condition])
    assert condition.trial({"pretrain.method": "none"}).pretrain.method == "none"
    assert list(condition._setting({"pretrain.method": "none"}, 0)) == ["pretrain.method"]
    assert list(condition._setting({"pretrain.method": "simclr"}, 0)) == list(parameters)
