import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from noisetune.config import PLUGINS
from noisetune.errors import UserError
from noisetune.sweep.spec.factors import check_field
from noisetune.sweep.spec.space import Parameter, SearchSpace, read_space

LR = {"low": 1e-4, "high": 1e-2}
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ranges = st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9)).map(sorted)


@pytest.mark.parametrize(
    ("written", "distribution"),
    [
        ({"choices": ["adam", "sgd"]}, CategoricalDistribution(("adam", "sgd"))),
        ({"low": 2, "high": 8}, IntDistribution(2, 8)),
        ({"low": 2, "high": 8, "step": 3}, IntDistribution(2, 8, step=3)),
        ({"low": 1, "high": 64, "log": True}, IntDistribution(1, 64, log=True)),
        ({"low": 0, "high": 0.5}, FloatDistribution(0, 0.5)),
        ({"low": 0.0, "high": 1.0, "step": 0.25}, FloatDistribution(0, 1, step=0.25)),
        ({"low": 0, "high": 1, "step": 0.25}, FloatDistribution(0, 1, step=0.25)),
        ({"low": 1e-4, "high": 1e-2, "log": True}, FloatDistribution(1e-4, 1e-2, log=True)),
    ],
)
def test_a_parameter_is_in_optunas_own_words(written: dict[str, Any], distribution: Any) -> None:
    assert Parameter(**written).distribution() == distribution


@given(bounds=ranges, log=st.booleans())
def test_the_corners_of_a_range_are_its_ends(bounds: list[float], log: bool) -> None:
    low, high = bounds
    assert Parameter(low=low, high=high, log=log).corners() == (low, high)


@given(choices=st.lists(scalars, min_size=1, unique=True))
def test_a_space_is_the_same_after_the_ledger(choices: list[Any]) -> None:
    space = SearchSpace.model_validate({"parameters": {"finetune.lr": {"choices": choices}}})
    stored = json.loads(json.dumps(space.model_dump(mode="json")))
    kept = SearchSpace.model_validate(stored).parameters["finetune.lr"].choices
    assert kept is not None
    assert [(type(value), value) for value in kept] == [(type(value), value) for value in choices]


def test_a_when_takes_a_value_or_a_list_and_needs_all_of_its_fields() -> None:
    parameter = Parameter(
        **LR, when={"pretrain.method": ("simclr", "barlow_twins"), "pretrain.schedule": "cosine"}
    )
    assert parameter.holds({"pretrain.method": "simclr", "pretrain.schedule": "cosine"})
    assert not parameter.holds({"pretrain.method": "none", "pretrain.schedule": "cosine"})
    assert not parameter.holds({"pretrain.method": "simclr"})


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ({"choices": ["b", "a"]}, ("b", "a")),
        ({"low": 1, "high": 3}, (1, 2, 3)),
        ({"low": 1, "high": 5, "step": 2}, (1, 3, 5)),
        ({"low": 0.0, "high": 0.3, "step": 0.1}, (0.0, 0.1, 0.2, 0.3)),
    ],
)
def test_a_grid_crosses_choices_and_steps_to_the_upper_end(
    written: dict[str, Any], values: tuple[Any, ...]
) -> None:
    parameter = Parameter(**written)
    assert parameter.grid_values() == pytest.approx(values)
    assert parameter.grid_values()[-1] == parameter.corners()[-1]


def test_a_continuum_has_no_grid() -> None:
    with pytest.raises(ValueError, match="needs choices, or a range with a step"):
        Parameter(**LR).grid_values()


def test_parameters_come_after_those_that_their_when_speaks_of() -> None:
    chain = {
        "finetune.momentum": {"low": 0.1, "high": 0.9, "when": {"finetune.optimizer": "sgd"}},
        "finetune.optimizer": {"choices": ["sgd"], "when": {"finetune.schedule": "cosine"}},
        "finetune.schedule": {"choices": ["constant", "cosine"]},
        "finetune.lr": LR,
    }
    order = list(SearchSpace.model_validate({"parameters": chain}).ordered())
    wanted = ["finetune.schedule", "finetune.optimizer", "finetune.momentum"]
    assert [field for field in order if field in wanted] == wanted
    assert set(order) == set(chain)


def test_a_circle_of_when_is_refused() -> None:
    circle = {
        "finetune.lr": LR | {"when": {"finetune.momentum": 0.5}},
        "finetune.momentum": {"choices": [0.5, 0.9], "when": {"finetune.lr": 0.001}},
    }
    with pytest.raises(UserError, match=r"finetune.lr, finetune.momentum.* form a circle"):
        SearchSpace.model_validate({"parameters": circle}).ordered()


@pytest.mark.parametrize("section", PLUGINS)
def test_every_field_of_every_plugin_is_a_field(section: str) -> None:
    for config in PLUGINS[section].values():
        for name in config.model_fields:
            check_field(f"{section}.{name}")
    with pytest.raises(ValueError, match=rf"{section}.nothing: names no field .* {section}\."):
        check_field(f"{section}.nothing")


@pytest.mark.parametrize("field", ["finetune.lr", "finetune.augment.flip", "runtime.device"])
def test_a_field_may_lie_deep(field: str) -> None:
    check_field(field)


@pytest.mark.parametrize("field", ["", "lr", "finetune", "finetune.", "fine.lr", "pretrain_seed.x"])
def test_what_names_no_field_is_answered_with_what_there_is(field: str) -> None:
    with pytest.raises(ValueError, match=rf"{field}: names no field of a trial; there are "):
        check_field(field)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"parameters": {"finetune.lr": {}}}, "give either choices, or both low and high"),
        ({"parameters": {"finetune.lr": {"low": 1.0}}}, "give either choices, or both"),
        ({"parameters": {"finetune.lr": LR | {"choices": [1]}}}, "give either choices, or both"),
        ({"parameters": {"finetune.lr": {"choices": []}}}, "one or more elements"),
        ({"parameters": {"finetune.lr": {"low": 1.0, "high": 0.5}}}, "low=1.0, high=0.5"),
        ({"parameters": {"finetune.lr": {"low": 0.0, "high": 1.0, "log": True}}}, "low=0.0"),
        ({"parameters": {"finetune.lr": LR | {"log": True, "step": 0.1}}}, "`step`"),
        ({"parameters": {"finetune.lr": LR | {"lgo": True}}}, "lgo"),
        ({"parameters": {"finetune.lr": LR | {"when": {"x.y": 1}}}}, "x.y: names no field"),
        ({"parameters": {"noise.rate": LR}}, "noise.rate: a sampler free to choose it would"),
        ({"parameters": {"data.name": {"choices": ["digits"]}}}, "data.name: a sampler free"),
        ({"conditions": {"noise.rate": []}}, r"noise.rate: \[\]: a condition needs one or more"),
        ({"conditions": {"noise.rate": [0.2, 0.2]}}, "one or more different values"),
        (
            {"conditions": {"finetune.lr": [1e-3]}, "parameters": {"finetune.lr": LR}},
            "finetune.lr: is both a condition and a parameter",
        ),
    ],
)
def test_a_space_that_means_nothing_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SearchSpace.model_validate(space)


def test_a_space_is_read_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("conditions: {noise.rate: [0.2]}\nparameters: {finetune.lr: {choices: [1e-3]}}")
    assert read_space(file).conditions == {"noise.rate": (0.2,)}
    assert read_space(file).parameters["finetune.lr"].choices == (1e-3,)
    file.write_text("parameters: {lr: {choices: [1e-3]}}")
    with pytest.raises(UserError, match=r"mine.yaml: parameters: lr: names no field of a trial"):
        read_space(file)
