"""The protocols: what they fill, and that what they filled reads back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.config import PLUGINS, TrialConfig
from noisetune.errors import UserError
from noisetune.protocols import PAPER, PROTOCOLS
from noisetune.stages.finetune import finetune_key
from noisetune.stages.pretrain import pretrain_key
from noisetune.sweep.spec.conditions import cross, validate
from noisetune.sweep.spec.space import SearchSpace

sections = st.fixed_dictionaries(
    {},
    optional={
        "data": st.just({"validation_fraction": 0.3}) | st.just({"train_samples": 50}),
        "noise": st.just({"model": "none"})
        | st.just({"rate": 0.1})
        | st.just({"model": "pairflip", "draw": "exact"}),
        "pretrain": st.just({"method": "none"})
        | st.just({"method": "barlow_twins", "redundancy": 1e-2})
        | st.just({"augment": {"blur": 0.5}})
        | st.just({"augment": None, "lr": 0.1}),
        "finetune": st.just({"epochs": 3}) | st.just({"augment": {"normalise": False}}),
        "detect": st.just({"checkpoint": "selected"}),
        "pretrain_seed": st.just("shared"),
    },
)


def paper(**raw: Any) -> TrialConfig:
    return TrialConfig.parse({"protocol": "paper", **raw}, "x")


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found = {}
    for name, value in tree.items():
        inner = leaves(value, (*path, name)) if isinstance(value, dict) else {(*path, name): value}
        found |= inner
    return found


def test_the_papers_recipe_to_the_letter() -> None:
    trial = paper()
    assert (trial.noise.model, trial.pretrain_seed) == ("paper", "per_replicate")
    assert trial.data.validation_fraction == 0
    for stage in (trial.pretrain, trial.finetune):
        assert (stage.optimizer, stage.lr, stage.weight_decay) == ("adam", 1e-3, 1e-4)
        assert (stage.schedule, stage.warmup_epochs, stage.batch_size) == ("constant", 0, 256)
    assert (trial.pretrain.hidden, trial.pretrain.projection) == (512, 128)
    assert trial.pretrain.temperature == 0.5
    assert trial.pretrain.drop_last
    assert trial.pretrain.batch_norm == "per_view"
    twins = paper(pretrain={"method": "barlow_twins"}).pretrain
    assert (twins.redundancy, twins.deviation) == (5e-3, "unbiased")
    cifar10, cifar100 = (paper(data={"name": name}).data for name in ("cifar10", "cifar100"))
    assert cifar10.mean == (0.4914, 0.4822, 0.4465)
    assert cifar10.std == (0.2023, 0.1994, 0.2010)
    assert cifar100.mean == (0.5071, 0.4867, 0.4408)
    assert cifar100.std == (0.2675, 0.2565, 0.2761)
    views = trial.pretrain.augment
    assert (views.crop_scale, views.flip, views.grayscale) == ((0.2, 1.0), 0.5, 0.2)
    assert (views.jitter, views.jitter_probability) == ((0.8, 0.8, 0.8, 0.2), 0.8)
    assert (views.blur, views.blur_kernel, views.blur_sigma) == (1, 3, (0.1, 2.0))
    assert not views.normalise
    tuned = trial.finetune.augment
    assert (tuned.pad, tuned.flip, tuned.crop_scale, tuned.normalise) == (4, 0.5, None, True)
    detect = trial.detect
    assert (detect.filter_by, detect.checkpoint, detect.test_seed) == ("both", "last", "training")
    assert (trial.runtime.precision, trial.runtime.tf32) == ("fp32", False)


@given(raw=sections)
def test_what_was_filled_reads_back_to_the_same_trial(raw: dict[str, Any]) -> None:
    trial = paper(**raw)
    once = json.loads(json.dumps(trial.resolve(cpus=1, gpus=0).to_json()))
    again = TrialConfig.parse(once, "x")
    assert again.to_json() == once
    assert trial.to_json() == TrialConfig.parse(trial.to_json(), "x").to_json()


@given(raw=sections)
def test_a_field_that_is_written_wins_and_the_others_are_the_papers(raw: dict[str, Any]) -> None:
    found = leaves(paper(**raw).to_json())
    written = leaves(raw)
    for path, value in written.items():
        if value is not None:
            assert found[path] == value
    for path, value in leaves(PAPER).items():
        if path in found and path not in written:
            assert found[path] == (list(value) if isinstance(value, tuple) else value)


@given(raw=sections)
def test_the_standard_protocol_says_nothing(raw: dict[str, Any]) -> None:
    with_it = TrialConfig.parse({"protocol": "standard", **raw}, "x")
    assert with_it == TrialConfig.parse(raw, "x")


def test_the_type_knows_every_protocol() -> None:
    for name in PROTOCOLS:
        assert TrialConfig.parse({"protocol": name}, "x").protocol == name
    with pytest.raises(UserError, match="protocol: 'papr': it should be 'standard' or 'paper'"):
        TrialConfig.parse({"protocol": "papr"}, "x")


@pytest.mark.parametrize("section", ["noise", "pretrain"])
def test_a_wrong_name_is_answered_as_ever(section: str) -> None:
    key = {"noise": "model", "pretrain": "method"}[section]
    with pytest.raises(UserError) as error:
        paper(**{section: {key: "unheard_of"}})
    assert "is unknown" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_protocol_is_in_no_stage_key() -> None:
    trial = paper()
    plain = trial.model_copy(update={"protocol": "standard"})
    data = trial.data.load()
    keys = [pretrain_key(each.resolve(), data) for each in (trial, plain)]
    assert keys[0] == keys[1]
    tuned = [finetune_key(each.resolve(), data, keys[0], 100) for each in (trial, plain)]
    assert tuned[0] == tuned[1]


def test_a_sweep_of_the_papers_protocol_crosses_as_any_other() -> None:
    space = {
        "conditions": {
            "noise.rate": [0.2, 0.6],
            "pretrain.method": ["none", "simclr", "barlow_twins"],
        },
        "parameters": {
            "pretrain.temperature": {
                "low": 0.1,
                "high": 0.5,
                "when": {"pretrain.method": "simclr", "noise.model": "paper"},
            },
            "finetune.lr": {"low": 1e-4, "high": 1e-2},
        },
    }
    conditions = cross(SearchSpace.model_validate(space), {"protocol": "paper"})
    validate(conditions)
    trials = [each.trial({"finetune.lr": 5e-4}, replicate=2) for each in conditions]
    assert [each.noise.rate for each in trials] == [0.2] * 3 + [0.6] * 3
    assert {each.noise.model for each in trials} == {"paper"}
    assert {each.pretrain_seed for each in trials} == {"per_replicate"}
    assert {each.finetune.lr for each in trials} == {5e-4}
    assert {each.finetune.augment.pad for each in trials} == {4}
    assert [each.pretrain.method for each in trials[:3]] == space["conditions"]["pretrain.method"]
    assert [len(each.parameters) for each in conditions] == [1, 2, 1] * 2


def test_noise_models_may_be_a_condition_under_the_protocol() -> None:
    models = ["none", "symmetric", "pairflip", "paper"]
    space = SearchSpace.model_validate({"conditions": {"noise.model": models}})
    conditions = cross(space, {"protocol": "paper", "noise": {"rate": 0.3}})
    trials = [each.trial({}) for each in conditions]
    assert [each.noise.model for each in trials] == models
    assert [getattr(each.noise, "rate", None) for each in trials] == [None, 0.3, 0.3, 0.3]
    assert set(models) <= set(PLUGINS["noise"])
