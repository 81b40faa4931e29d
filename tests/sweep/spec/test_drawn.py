"""`settings: {drawn_once_per: X, count: K}`: equal trials of each method, the same at each rate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from real_sweep import TRIAL, run_here

from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.smoke import Substitutes, corner_trials, smoke
from noisetune.sweep.spec.space import parse_space
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.resume_rules import check_extension
from noisetune.sweep.study.storage import open_sweep

METHOD = "finetune.method"
SPACE: dict[str, Any] = {
    "conditions": {
        "noise.rate": [0.2, 0.6],
        METHOD: ["cross_entropy", "elr"],
        "pretrain.method": ["none", "simclr"],
    },
    "parameters": {
        "finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "finetune.target_momentum": {"low": 0.1, "high": 0.9, "when": {METHOD: "elr"}},
        "pretrain.temperature": {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}},
    },
}


def prepared(
    count: int = 4, space: dict[str, Any] | None = None, per: str = METHOD, **sweep: Any
) -> Sweep:
    whole = {"drawn_once_per": per, "count": count}
    raw = {"name": "mine", "search_space": "-", "trial": TRIAL, "settings": whole, **sweep}
    return Sweep.prepare(parse_sweep(raw, "here.yaml"), parse_space(space or SPACE, "the space"))


def drawn(sweep: Sweep) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """The settings of each condition, by its factors."""
    return {
        tuple(each.factors.values()): [
            each.real_values({"setting": number}) for number in range(len(each.settings))
        ]
        for each in sweep.conditions
    }


@given_settings(max_examples=20)
@given(count=st.integers(1, 9), seed=st.integers(0, 5))
def test_conditions_of_a_method_have_the_same_settings(count: int, seed: int) -> None:
    found = drawn(prepared(count, sampler={"seed": seed}))
    for (rate, method, encoder), mine in found.items():
        assert len(mine) == count
        assert mine == found[0.2, method, encoder], rate
        # What both have is the same; what one has by a `when` is its own.
        for one, other in zip(mine, found[0.2, method, "none"], strict=True):
            assert {field: one[field] for field in other} == other
        assert all(("pretrain.temperature" in one) == (encoder == "simclr") for one in mine)
        assert all(("finetune.target_momentum" in one) == (method == "elr") for one in mine)


def test_methods_have_settings_of_their_own_and_repeat_with_the_seed() -> None:
    one, again, other = (drawn(prepared(sampler={"seed": seed})) for seed in (0, 0, 1))
    rates = {key: [each["finetune.lr"] for each in values] for key, values in one.items()}
    assert rates[0.2, "elr", "none"] != rates[0.2, "cross_entropy", "none"]
    assert len(set(rates[0.2, "elr", "none"])) == 4
    assert one == again != other


def test_more_settings_begin_with_the_fewer() -> None:
    fewer, more = drawn(prepared(3)), drawn(prepared(8))
    assert {key: values[:3] for key, values in more.items()} == fewer


def test_all_values_of_another_factor_can_be_what_they_are_drawn_for() -> None:
    found = drawn(prepared(per="noise.rate"))
    lr = {key: [each["finetune.lr"] for each in values] for key, values in found.items()}
    assert lr[0.2, "elr", "none"] == lr[0.2, "cross_entropy", "none"] != lr[0.6, "elr", "none"]


def test_a_method_without_parameters_is_a_fixed_recipe() -> None:
    parameters = {"finetune.target_momentum": SPACE["parameters"]["finetune.target_momentum"]}
    sweep = prepared(space=SPACE | {"parameters": parameters})
    counts = {each.factors[METHOD]: len(each.parameters) for each in sweep.conditions}
    assert counts == {"cross_entropy": 0, "elr": 1}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sampler": {"name": "tpe"}}, "sampler: tpe does not go with that"),
        ({"pruner": {"name": "median"}}, "pruner: median does not go"),
        ({"pretraining_designs": 2}, "pretraining_designs does not go"),
        ({"patience": 2}, "patience does not go"),
        ({"warm_start": ["other"]}, "warm_start does not go"),
        ({"enqueue": [{"finetune.lr": 1e-3}]}, "enqueue does not go"),
        ({"replicates": {"of": "search", "trials": 2, "count": 2}}, "replicates.of: search does"),
        ({"per": "finetune.lr"}, r"finetune.lr: is no factor .*those: noise.rate, finetune.method"),
        ({"space": SPACE | {"parameters": {}}}, "has no parameters to draw; leave settings out"),
        ({"count": 0}, "settings.count.*greater than or equal to 1"),
    ],
)
def test_what_does_not_go_with_it_is_one_message(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        prepared(**changes)


def test_a_definition_is_read_back_as_it_was() -> None:
    sweep = prepared()
    again = Sweep.from_definition(sweep.definition())
    assert (again.config, again.conditions) == (sweep.config, sweep.conditions)


def test_a_resume_may_ask_for_more_of_the_same() -> None:
    begun = prepared(2).definition()
    check_extension(begun, prepared(4).definition())
    with pytest.raises(UserError, match=r"settings.drawn_once_per: was 'finetune.method', is"):
        check_extension(begun, prepared(4, per="noise.rate").definition())


def test_a_smoke_run_has_two(tmp_path: Path) -> None:
    sweep = prepared(5)
    small = smoke(sweep.definition(), corner_trials(sweep.conditions), Substitutes())
    shrunk = Sweep.from_definition(small)
    assert {len(each.settings) for each in shrunk.conditions} == {2}
    assert shrunk.config.search_trials == 2


@pytest.fixture
def run_drawn(tmp_path: Path) -> Callable[[int], list[Any]]:
    """The trials of a sweep on digits, run here or gone on with; two methods at two rates."""
    conditions = {field: SPACE["conditions"][field] for field in ("noise.rate", METHOD)}
    fields = ("finetune.lr", "finetune.target_momentum")
    parameters = {field: SPACE["parameters"][field] for field in fields}
    space = {"conditions": conditions, "parameters": parameters}
    trial = TRIAL | {"pretrain": {"method": "none"}}

    def run(count: int) -> list[Any]:
        sweep = prepared(count, space, replicates=1, trial=trial)
        run_here(Home(tmp_path), sweep)
        return open_sweep(Home(tmp_path), "mine")[1].records(sweep.cells)

    return run


@pytest.mark.long
def test_every_rate_runs_all_settings_and_its_winner_again(
    run_drawn: Callable[[int], list[Any]],
) -> None:
    trials = run_drawn(2)
    search = [each for each in trials if each.kind == "search"]
    assert {each.state for each in trials} == {"complete"}
    assert len(search) == 8
    values: dict[str, dict[float, set[float]]] = {}
    for each in search:
        rates = values.setdefault(each.factors[METHOD], {})
        rates.setdefault(each.factors["noise.rate"], set()).add(each.parameters["finetune.lr"])
    for rates in values.values():
        assert rates[0.2] == rates[0.6]
        assert len(rates[0.2]) == 2
    again = [each for each in trials if each.kind == "replicate"]
    assert len(again) == 4
    for each in again:
        mine = [other for other in search if other.condition == each.condition]
        best = max(mine, key=lambda other: (other.objective, -other.number))
        assert each.parameters == best.parameters


@pytest.mark.long
def test_a_sweep_goes_on_with_more_settings(run_drawn: Callable[[int], list[Any]]) -> None:
    before = [each for each in run_drawn(1) if each.kind == "search"]
    after = [each for each in run_drawn(3) if each.kind == "search"]
    assert (len(before), len(after)) == (4, 12)
    kept = {(each.name, str(each.parameters)) for each in after}
    assert {(each.name, str(each.parameters)) for each in before} <= kept
    assert {
        len({str(x.parameters) for x in after if x.condition == c})
        for c in {each.condition for each in after}
    } == {3}


def shared(across: list[str], space: dict[str, Any] = SPACE, **more: Any) -> Sweep:
    drawn = {"drawn_once_per": METHOD, "count": 2, "shared_across": across}
    return prepared(space=space, settings=drawn, **more)


BY_RATE = {"low": 0.1, "high": 0.9, "when": {"noise.rate": 0.6, METHOD: "elr"}}
SEVERAL = {"metric": "val/accuracy", "also": [{"metric": "cost/passes"}]}


@pytest.mark.parametrize(
    ("across", "more", "problem"),
    [
        (["finetune.lr"], {}, r"shared_across: finetune.lr: is no factor .*those: noise.rate, fin"),
        ([METHOD], {}, r"shared_across: finetune.method: its values have settings of their own"),
        (["noise.rate"], {"objective": SEVERAL}, r"shared_across: with several goals nothing wins"),
        ("noise.rate", {}, r"settings.shared_across"),
        (
            ["noise.rate"],
            {"space": SPACE | {"parameters": SPACE["parameters"] | {"finetune.weight": BY_RATE}}},
            r"noise.rate=0.2 finetune.method=elr .* and noise.rate=0.6 .* different parameters",
        ),
        (["pretrain.method"], {}, r"are to share a setting, and a `when` gives them different"),
    ],
)
def test_a_factor_over_which_nothing_can_be_shared_is_one_message(
    across: Any, more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        shared(across, **more)


def test_a_resume_may_share_a_setting_or_cease_to() -> None:
    alone, with_it = prepared(2).definition(), shared(["noise.rate"]).definition()
    check_extension(alone, with_it)
    check_extension(with_it, alone)


def test_a_smoke_run_shares_over_the_same_factors() -> None:
    sweep = shared(["noise.rate"])
    small = smoke(sweep.definition(), corner_trials(sweep.conditions), Substitutes())
    assert Sweep.from_definition(small).config.shared_across == ("noise.rate",)
