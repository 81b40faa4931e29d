"""`pretraining_designs: K`: few settings of pre-training, the same ones for every condition."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import Play

from noisetune.errors import UserError
from noisetune.store import NullStore
from noisetune.sweep.preflight import preflight
from noisetune.sweep.spec.conditions import Condition, cross, with_designs
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.designs import FIELD, draw_designs
from noisetune.sweep.spec.space import Parameter, SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.order import Order

SSL = {"pretrain.method": ["simclr", "barlow_twins"]}
METHODS: dict[str, dict[str, Any]] = {"simclr": {}, "barlow_twins": {}}
PARAMETERS: dict[str, Any] = {
    "pretrain.epochs": {"choices": [2, 5, 9], "when": SSL},
    "pretrain.lr": {"low": 1e-4, "high": 1e-1, "log": True, "when": SSL},
    "pretrain.temperature": {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}},
    "finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True},
}
SPACE: dict[str, Any] = {
    "conditions": {"noise.rate": [0.2, 0.6], "pretrain.method": ["none", *METHODS]},
    "parameters": PARAMETERS,
}
SMALL = {"data": {"train_samples": 20, "test_samples": 10}, "finetune": {"epochs": 4}}
seeds = st.integers(0, 2**32 - 1)
whole = st.integers(1, 1000)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, Any]:
    """A parameter of any kind that Optuna knows."""
    kind = draw(st.sampled_from(["choices", "float", "log", "step", "int", "int step", "int log"]))
    low = draw(whole)
    if kind == "choices":
        return {"choices": draw(st.lists(whole, min_size=1, unique=True))}
    if kind.startswith("int"):
        step = draw(st.integers(1, 9)) if kind == "int step" else 1
        span = draw(st.integers(0, 50)) * step
        return {"low": low, "high": low + span, "step": step, "log": kind == "int log"}
    if kind == "step":
        return {"low": low / 4, "high": low / 4 + draw(whole) * 0.25, "step": 0.25}
    return {"low": low / 7, "high": low / 7 + draw(st.floats(0, 100)), "log": kind == "log"}


def parameters(space: dict[str, Any]) -> dict[str, Parameter]:
    return {name: Parameter.model_validate(each) for name, each in space.items()}


def drawn(space: dict[str, Any], count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The designs of simclr."""
    return draw_designs(parameters(space), {"simclr": {}}, count, seed, True).settings["simclr"]


def crossed(trial: dict[str, Any] | None = None, count: int = 4, **space: Any) -> list[Condition]:
    conditions = cross(SearchSpace.model_validate(SPACE | space), trial or {})
    return with_designs(conditions, count, seed=0)


@given(space=ranges(), count=st.integers(1, 33), seed=seeds)
def test_every_value_is_one_that_the_parameter_takes(
    space: dict[str, Any], count: int, seed: int
) -> None:
    distribution = Parameter.model_validate(space).distribution()
    values = [each["pretrain.x"] for each in drawn({"pretrain.x": space}, count, seed)]
    assert len(values) == count
    for value in values:
        assert distribution._contains(distribution.to_internal_repr(value))
    if distribution.single():
        assert len(set(values)) == 1


@pytest.mark.parametrize(
    "space",
    [
        {"choices": ["a", "b", "c", "d"]},
        {"low": 1, "high": 4},
        {"low": 10, "high": 40, "step": 10},
        {"low": 0.25, "high": 1.0, "step": 0.25},
    ],
    ids=str,
)
def test_each_of_few_values_is_as_likely(space: dict[str, Any]) -> None:
    counts = Counter(each["pretrain.x"] for each in drawn({"pretrain.x": space}, 256))
    assert len(counts) == 4
    assert max(counts.values()) - min(counts.values()) <= 2


@given(seed=seeds)
def test_a_logarithmic_range_is_drawn_evenly_over_its_decades(seed: int) -> None:
    space = {"pretrain.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    decades = Counter(
        sum(each["pretrain.lr"] >= edge for edge in (1e-3, 1e-2)) for each in drawn(space, 64, seed)
    )
    assert all(abs(count - 64 / 3) <= 2 for count in decades.values())


@given(count=st.integers(2, 20), seed=seeds)
def test_continuous_designs_differ_and_repeat_with_their_seed(count: int, seed: int) -> None:
    made = drawn(PARAMETERS, count, seed)
    assert len({tuple(each.values()) for each in made}) == count
    assert drawn(PARAMETERS, count, seed) == made
    assert drawn(PARAMETERS, count, seed + 1) != made


def test_methods_have_designs_of_their_own() -> None:
    designs = draw_designs(parameters(PARAMETERS), METHODS, 4, 0, prefix_epochs=True)
    fields = {method: set(each[0]) for method, each in designs.settings.items()}
    assert fields == {
        "simclr": {"pretrain.lr", "pretrain.temperature"},
        "barlow_twins": {"pretrain.lr"},
    }
    simclr, other = ([each["pretrain.lr"] for each in made] for made in designs.settings.values())
    assert set(simclr).isdisjoint(other)


def test_a_parameter_inside_a_design_may_hang_on_another() -> None:
    nested = {
        "pretrain.optimizer": {"choices": ["adam", "sgd"]},
        "pretrain.momentum": {"low": 0.5, "high": 0.9, "when": {"pretrain.optimizer": "sgd"}},
    }
    made = drawn(nested, 16)
    assert {each["pretrain.optimizer"] for each in made} == {"adam", "sgd"}
    for each in made:
        assert ("pretrain.momentum" in each) == (each["pretrain.optimizer"] == "sgd")


def test_every_condition_of_a_method_has_the_same_designs() -> None:
    for method in METHODS:
        mine = [each for each in crossed() if each.factors["pretrain.method"] == method]
        settings = [
            [condition.real_values({FIELD: design}) for design in range(4)] for condition in mine
        ]
        assert len(settings) == 2
        assert settings[0] == settings[1]


def test_optuna_sees_the_number_of_the_design() -> None:
    fields = {each.factors["pretrain.method"]: set(each.parameters) for each in crossed()}
    assert fields["none"] == {"finetune.lr"}
    assert fields["simclr"] == {"pretrain.epochs", FIELD, "finetune.lr"}
    design = crossed()[1].parameters[FIELD]
    assert design.choices == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("schedule", "apart"), [("constant", True), ("cosine", False)], ids=["constant", "cosine"]
)
def test_epochs_stand_apart_where_they_are_a_prefix(schedule: str, apart: bool) -> None:
    simclr = crossed({"pretrain": {"schedule": schedule}})[1]
    assert ("pretrain.epochs" in simclr.parameters) == apart
    assert ("pretrain.epochs" in simclr.real_values({FIELD: 0})) != apart


def test_epochs_stand_inside_where_the_schedule_is_searched() -> None:
    schedule = {"pretrain.schedule": {"choices": ["constant", "cosine"], "when": SSL}}
    simclr = crossed(parameters=PARAMETERS | schedule)[1]
    assert set(simclr.parameters) == {FIELD, "finetune.lr"}
    assert {"pretrain.epochs", "pretrain.schedule"} < set(simclr.real_values({FIELD: 0}))


def test_the_method_may_be_a_parameter() -> None:
    space = {
        "conditions": {},
        "parameters": PARAMETERS | {"pretrain.method": {"choices": ["none", *METHODS]}},
    }
    (condition,) = crossed(**space)
    drawn = [
        condition.real_values({"pretrain.method": method, FIELD: design})
        for method, design in itertools.product(METHODS, range(4))
    ]
    assert len({each["pretrain.lr"] for each in drawn}) == 8
    active = condition._setting({"pretrain.method": "none"}, 0)
    assert set(active) == {"pretrain.method", "finetune.lr"}


@pytest.mark.parametrize(
    "kept", [["finetune.lr"], ["pretrain.epochs", "finetune.lr"]], ids=["none", "epochs alone"]
)
def test_without_a_parameter_to_fix_designs_are_refused(kept: list[str]) -> None:
    with pytest.raises(UserError, match=r"pretraining_designs: no pretrain\.\* parameter is sampl"):
        crossed(parameters={field: PARAMETERS[field] for field in kept})


@pytest.mark.parametrize(
    ("field", "when"),
    [
        ("pretrain.lr", {"finetune.lr": 1e-3}),
        ("pretrain.lr", {"pretrain.epochs": 5}),
        ("pretrain.lr", {"noise.rate": 0.6}),
        ("finetune.lr", {"pretrain.lr": 1e-3}),
    ],
)
def test_what_hangs_on_the_other_side_of_a_design_is_refused(
    field: str, when: dict[str, Any]
) -> None:
    """It was drawn already, or is not drawn yet."""
    changed = PARAMETERS | {field: {**PARAMETERS[field], "when": SSL | when}}
    with pytest.raises(UserError, match=f"{field}: its `when` speaks of {next(iter(when))}"):
        crossed(parameters=changed)


@pytest.mark.parametrize("count", [0, -1, "many"])
def test_a_number_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(UserError, match=rf"pretraining_designs: {count!r}: it should be"):
        parse_sweep({"name": "x", "search_space": "x", "pretraining_designs": count}, "x.yaml")


def test_a_sampler_that_draws_no_choices_is_refused() -> None:
    pytest.importorskip("cmaes")
    raw = {"name": "x", "search_space": "x", "sampler": {"name": "cmaes"}}
    config = parse_sweep(raw | {"pretraining_designs": 2}, "x.yaml")
    with pytest.raises(UserError, match=r"pretraining_designs: .*cmaes"):
        preflight(Sweep.prepare(config, SearchSpace.model_validate(SPACE)))


@pytest.fixture
def designed(open_scheduler: Callable[..., Play]) -> Play:
    """Eight trials in each of six conditions, on three designs of each method."""
    sampler = {"name": "random", "seed": 1}
    sizes = {"trials_per_condition": 8, "replicates": 1, "pretraining_designs": 3}
    return open_scheduler(SPACE, trial=SMALL, sampler=sampler, **sizes)


def test_at_most_so_many_pretrainings_of_a_method_are_asked_for(designed: Play) -> None:
    order = Order(NullStore())
    digests: dict[tuple[str, int], set[str]] = {}
    for job in designed.run_all(lambda job: [0.5] * 4):
        key = order.key(job.config)
        if key is not None:
            where = job.config.pretrain.method, job.config.replicate
            digests.setdefault(where, set()).add(key.digest)
    searched = {method: len(made) for (method, replicate), made in digests.items() if not replicate}
    assert searched == {"simclr": 3, "barlow_twins": 3}
    assert {replicate for _, replicate in digests} == {0, 1}


def test_the_real_values_stand_in_the_ledger_and_in_the_configuration(designed: Play) -> None:
    designed.run_all(lambda job: [0.5] * 4)
    for record in designed.records():
        assert FIELD not in record.parameters
        for field, value in record.parameters.items():
            section, name = field.split(".")
            assert record.config[section][name] == value
    simclr = [each for each in designed.records() if each.config["pretrain"]["method"] == "simclr"]
    wanted = {"pretrain.epochs", "pretrain.lr", "pretrain.temperature", "finetune.lr"}
    assert {frozenset(each.parameters) for each in simclr} == {frozenset(wanted)}


def test_optuna_is_told_the_design_alone(designed: Play) -> None:
    jobs = designed.run_all(lambda job: [0.5] * 4)
    simclr = next(job for job in jobs if job.config.pretrain.method == "simclr")
    fields = {frozenset(trial.params) for trial in simclr.asked.study.get_trials()}
    assert fields == {frozenset({"pretrain.epochs", FIELD, "finetune.lr"})}


def test_a_replicate_repeats_the_winners_design(designed: Play) -> None:
    best: dict[str, Any] = {}
    for job in designed.run_all(lambda job: [job.config.finetune.lr] * 4):
        if job.kind == "replicate":
            assert job.parameters == best[job.condition.name].parameters
        before = best.setdefault(job.condition.name, job)
        if job.config.finetune.lr > before.config.finetune.lr:
            best[job.condition.name] = job
    assert len(best) == 6
