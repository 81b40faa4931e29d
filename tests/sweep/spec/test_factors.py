"""Conditions whose values are named bundles of settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up import Play
from optuna.storages import InMemoryStorage
from pydantic import ValidationError

from noisetune.analysis.families import asked_pairs
from noisetune.analysis.summaries import summarise
from noisetune.errors import UserError
from noisetune.selection import group_of
from noisetune.sweep.spec.conditions import Condition, cross, validate, with_designs
from noisetune.sweep.spec.space import SearchSpace, read_space
from noisetune.sweep.study.resume_rules import check_extension

ARMS: dict[str, dict[str, Any]] = {
    "scratch": {"pretrain.method": "none", "finetune.epochs": 9},
    "scratch ssl views": {
        "pretrain.method": "none",
        "finetune.epochs": 9,
        "finetune.augment": "ssl",
    },
    "simclr": {"pretrain.method": "simclr"},
}
RATES = {"noise.rate": [0.2, 0.6]}
LABELS: dict[str, dict[str, Any]] = {
    "flips": {"noise.model": "pairflip", "noise.rate": 0.3},
    "even": {"data.name": "digits", "noise.model": "symmetric", "noise.rate": 0.3},
}


def crossed(
    conditions: dict[str, Any], fixed: dict[str, Any] | None = None, **parameters: Any
) -> list[Condition]:
    space = {"conditions": conditions, "parameters": parameters}
    return cross(SearchSpace.model_validate(space), fixed or {})


def test_a_bundle_is_shown_by_its_name_and_sets_its_fields() -> None:
    conditions = crossed({**RATES, "arm": ARMS}, {"finetune": {"epochs": 2}})
    validate(conditions)
    assert [each.name for each in conditions][:3] == [
        "noise.rate=0.2 arm=scratch",
        "noise.rate=0.2 arm=scratch ssl views",
        "noise.rate=0.2 arm=simclr",
    ]
    assert conditions[1].factors == {"noise.rate": 0.2, "arm": "scratch ssl views"}
    scratch, ssl_views, simclr = (each.trial({}) for each in conditions[3:])
    assert (scratch.noise.rate, scratch.pretrain.method) == (0.6, "none")
    assert [each.finetune.epochs for each in (scratch, ssl_views, simclr)] == [9, 9, 2]
    assert [each.finetune.augment for each in (scratch, ssl_views)] == [None, "ssl"]


def test_settings_of_a_bundle_count_for_a_when_and_for_fields_that_only_some_plugins_have() -> None:
    parameter = {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}}
    conditions = crossed(
        {"arm": ARMS}, {"pretrain": {"epochs": 3}}, **{"pretrain.temperature": parameter}
    )
    assert [set(each.parameters) for each in conditions] == [set(), set(), {"pretrain.temperature"}]
    assert [each.base["pretrain"] for each in conditions] == [{}, {}, {"epochs": 3}]


def test_designs_are_shared_by_the_arms_of_a_method() -> None:
    arms = {**ARMS, "simclr frozen": {"pretrain.method": "simclr", "finetune.train": "head"}}
    temperature = {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}}
    conditions = crossed({"arm": arms}, **{"pretrain.temperature": temperature})
    first, second = with_designs(conditions, 2, seed=0)[2:]
    setting = {"pretrain.design": 1}
    assert first.real_values(setting) == second.real_values(setting) != {}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"arm": {"a": {}}}, "arm.a: the bundle is empty"),
        ({"arm": {}}, "arm: a condition needs one or more bundles"),
        (
            {"arm": {"a": {"finetune.lr": 1.0}, "b": {"finetune.lr": 1.0}}},
            "arm.b: sets what a sets",
        ),
        ({"arm": {"a": {"finetune.rate": 1.0}}}, "arm.a: finetune.rate: names no field of a trial"),
        ({"arm": {"a": {"finetune": 1.0}}}, "arm.a: finetune: names no field of a trial"),
        (
            {"arm": {"a": 1.0}},
            "arm.a: 1.0: write a factor as a list of values, or as named bundles",
        ),
        ({"arm": 3}, "arm: 3: write a factor as a list of values, or as named bundles"),
        ({"arm": ["a", "b"]}, "arm: names no field of a trial"),
        ({"arm": {"a": {"finetune.lr": [1.0]}}}, r"arm.a: finetune.lr: \[1.0\]: a setting is one"),
        ({"arm": {3: {"finetune.lr": 1.0}}}, "arm: 3: a bundle's name is a line of text"),
        ({"arm": {"a=b": {"finetune.lr": 1.0}}}, "arm: 'a=b': a bundle's name is a line of text"),
        ({"pretrain.method": {"a": {"finetune.lr": 1.0}}}, "pretrain.method: .* without a dot"),
        ({"arm": {"a": {"noise.rate": 0.2}}}, "arm.a: noise.rate: only conditions of equal data"),
        ({"noise": {"a": {"finetune.lr": 0.2}}}, "noise.a: finetune.lr: only conditions of equal"),
        (
            {"arm": {"a": {"finetune.lr": 1.0}}, "finetune.lr": [0.5]},
            "finetune.lr: finetune.lr: the factor arm sets finetune.lr; a field is set by one",
        ),
        (
            {"arm": {"a": {"finetune.augment": "ssl"}}, "finetune.augment.flip": [0.5]},
            "finetune.augment.flip: the factor arm sets finetune.augment; a field is set by one",
        ),
    ],
)
def test_a_bundle_that_means_nothing_is_refused(conditions: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SearchSpace.model_validate({"conditions": conditions})


def test_a_field_of_a_bundle_is_no_parameter() -> None:
    lr = {"finetune.epochs": {"choices": [1, 2]}}
    with pytest.raises(ValidationError, match=r"finetune.epochs: is both a condition and a param"):
        SearchSpace.model_validate({"conditions": {"arm": ARMS}, "parameters": lr})


def test_what_is_wrong_is_said_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("conditions: {arm: {a: {}}}")
    with pytest.raises(UserError, match=rf"^{file}: conditions: arm.a: the bundle is empty"):
        read_space(file)


def test_bundles_are_the_same_after_the_ledger() -> None:
    space = SearchSpace.model_validate({"conditions": {**RATES, "arm": ARMS}})
    stored = json.loads(json.dumps(space.model_dump(mode="json")))
    assert SearchSpace.model_validate(stored) == space


def definition(conditions: dict[str, Any]) -> dict[str, Any]:
    space = SearchSpace.model_validate({"conditions": conditions})
    return {
        "sweep": {"name": "mine", "search_space": "mine"},
        "space": space.model_dump(mode="json"),
    }


def test_a_resume_may_bring_more_bundles_and_no_others() -> None:
    two = {name: ARMS[name] for name in ("scratch", "simclr")}
    check_extension(definition({"arm": two}), definition({"arm": ARMS}))
    with pytest.raises(UserError, match=r"conditions.arm: was .*ssl views.*, is gone"):
        check_extension(definition({"arm": ARMS}), definition({"arm": two}))
    changed = {**two, "simclr": {"pretrain.method": "simclr", "finetune.lr": 0.1}}
    with pytest.raises(UserError, match=r"conditions.arm: was .*simclr.*, is .*finetune.lr"):
        check_extension(definition({"arm": two}), definition({"arm": changed}))
    with pytest.raises(UserError, match=r"conditions.arm: was .*, is gone"):
        check_extension(definition({"arm": two}), definition({}))


def test_an_extended_sweep_runs_the_new_bundle_alone(open_scheduler: Callable[..., Play]) -> None:
    storage, sizes = InMemoryStorage(), {"replicates": 1, "trials_per_condition": 1}
    two = {name: ARMS[name] for name in ("scratch", "simclr")}
    ran = [
        [
            job.name
            for job in open_scheduler({"conditions": {"arm": arms}}, storage, **sizes).run_all(
                lambda job: [0.5]
            )
        ]
        for arms in (two, ARMS)
    ]
    assert ran == [
        ["arm=scratch replicate 0", "arm=simclr replicate 0"],
        ["arm=scratch ssl views replicate 0"],
    ]  # fmt: skip


def test_arms_are_compared_with_scratch_and_never_across_labels(
    open_scheduler: Callable[..., Play],
) -> None:
    arms = {name: ARMS[name] for name in ("simclr", "scratch")}
    play = open_scheduler({"conditions": {"noise": LABELS, "arm": arms}}, replicates=1)
    play.run_all(lambda job: [0.5])
    summaries = summarise(play.records(), maximize=True)
    assert [group_of(each.factors) for each in summaries] == [
        {"noise": "flips"},
        {"noise": "flips"},
        {"noise": "even"},
        {"noise": "even"},
    ]
    assert asked_pairs([(each.name, each.factors) for each in summaries]) == [
        ("noise=flips arm=simclr", "noise=flips arm=scratch"),
        ("noise=even arm=simclr", "noise=even arm=scratch"),
    ]
