"""What a sweep compares and how many seeds it takes: what is refused, and what is kept."""

import json
from typing import Any

import pytest

from noisetune.errors import UserError
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep

SWEEP: dict[str, Any] = {"name": "mine", "search_space": "mine"}
GROWING: dict[str, Any] = {"from": 6, "until": {"difference": 2.5}, "at_most": 12}


def test_replicates_that_grow_are_the_same_after_the_ledger() -> None:
    config = parse_sweep(SWEEP | {"replicates": GROWING}, "the test")
    written = config.model_dump(mode="json")
    assert written["replicates"] == GROWING
    assert parse_sweep(json.loads(json.dumps(written)), "ledger") == config
    assert (config.first_replicates, config.most_replicates) == (6, 12)


def test_a_number_of_replicates_stays_a_number() -> None:
    config = parse_sweep(SWEEP | {"replicates": 8}, "the test")
    assert config.model_dump(mode="json")["replicates"] == 8
    assert (config.growing, config.first_replicates, config.most_replicates) == (None, 8, 8)


SEARCHES: dict[str, Any] = {"of": "search", "trials": 6, "count": 5}


@pytest.mark.parametrize("count", [5, GROWING], ids=["a number", "growing"])
def test_searches_are_counted_as_replicates_are(count: Any) -> None:
    config = parse_sweep(SWEEP | {"replicates": SEARCHES | {"count": count}}, "the test")
    written = config.model_dump(mode="json")
    assert written["replicates"] == SEARCHES | {"count": count}
    assert parse_sweep(json.loads(json.dumps(written)), "ledger") == config
    plain = parse_sweep(SWEEP | {"replicates": count}, "the test")
    for name in ("growing", "first_replicates", "most_replicates", "margin"):
        assert getattr(config, name) == getattr(plain, name)
    assert (config.search_trials, plain.search_trials) == (6, plain.trials_per_condition)
    assert (plain.searches is None, config.searches is None) == (True, False)


def test_searches_need_something_to_search() -> None:
    config = parse_sweep(SWEEP | {"replicates": SEARCHES}, "the test")
    space = {"conditions": {"noise.rate": [0.2]}}
    with pytest.raises(UserError, match=r"replicates.of: search: the search space has no param"):
        Sweep.prepare(config, SearchSpace.model_validate(space))
    searched = space | {"parameters": {"finetune.lr": {"low": 0.001, "high": 0.01}}}
    assert Sweep.prepare(config, SearchSpace.model_validate(searched)).config.searches is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": 0}, "replicates.trials: 0: it should be greater than or equal to 1"),
        ({"count": 0}, "replicates.count: 0: it should be greater than or equal to 1"),
        ({"count": GROWING | {"from": 4}}, "replicates.count.from: 4: it should be greater than"),
        ({"of": "winner"}, "replicates.of: 'winner': it should be 'search'"),
        ({"trails": 6}, "replicates.trails: no such field; did you mean 'trials'"),
        ({"at_most": 9}, "replicates: at_most: how searches grow stands under count; write"),
    ],
)
def test_bad_searches_name_field_value_and_rule(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_sweep(SWEEP | {"replicates": SEARCHES | change}, "sweeps/mine.yaml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": {"also": [{"metric": "cost/passes"}]}}, "replicates.of: search: with sev"),
        ({"warm_start": ["other"]}, "warm_start: earlier trials would be known to all replicate"),
        ({"pretraining_designs": 4}, "pretraining_designs: they are drawn once for all replicat"),
    ],
)
def test_searches_share_nothing_but_the_method(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_sweep(SWEEP | {"replicates": SEARCHES} | change, "sweeps/mine.yaml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "margin"),
    [
        ({}, None),
        ({"comparisons": {"equal_within": 1}}, 0.01),
        ({"replicates": GROWING}, 0.025),
        ({"replicates": GROWING, "comparisons": {"equal_within": 1}}, 0.01),
    ],
)
def test_the_margin_of_equality_is_a_share_of_accuracy(
    change: dict[str, Any], margin: float | None
) -> None:
    assert parse_sweep(SWEEP | change, "the test").margin == margin


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicates": {"until": {"difference": 0}}}, "replicates.until.difference: 0: it should"),
        ({"replicates": {"from": 5}}, "replicates.until: Field required"),
        ({"replicates": GROWING | {"from": 4}}, "replicates.from: 4: it should be greater than or"),
        ({"replicates": GROWING | {"at_most": 5}}, "at_most: 5 is under from: 6; it must be as m"),
        ({"replicates": GROWING | {"form": 5}}, "replicates.form: no such field; did you mean 'fr"),
        ({"replicates": GROWING | {"from": True}}, "replicates.from: True: it should be a number"),
        ({"comparisons": {"epoch": "best"}}, "comparisons.epoch: 'best': it should be 'last', '"),
        ({"comparisons": {"equal_within": 0}}, "comparisons.equal_within: 0: it should be greate"),
        ({"comparisons": {"level": 0.6}}, "comparisons.level: 0.6: it should be less than or equ"),
        ({"comparisons": {"against": {}}}, "comparisons.against: {}: it is one factor with one o"),
        ({"comparisons": {"every": True, "against": {"a": 1}}}, "every: with `against` there is o"),
        (
            {
                "replicates": GROWING,
                "objective": {"also": [{"metric": "cost/passes"}]},
            },
            "replicates: with several goals nothing wins",
        ),
    ],
)
def test_bad_input_names_file_field_value_and_rule(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_sweep(SWEEP | change, "sweeps/mine.yaml")
    assert str(error.value).startswith("sweeps/mine.yaml: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ({"noise.rate": 0.2}, None),
        ({"noise.rate": 0.3}, r"against: noise.rate: 0.3 is not among its values; those: 0.2, 0.6"),
        ({"noise.rat": 0.2}, r"against: noise.rat: is no factor of the conditions; those: noise.r"),
    ],
)
def test_a_baseline_is_a_value_of_a_factor(against: dict[str, Any], message: str | None) -> None:
    config = parse_sweep(SWEEP | {"comparisons": {"against": against}}, "the test")
    space = SearchSpace.model_validate({"conditions": {"noise.rate": [0.2, 0.6]}})
    if message is None:
        assert Sweep.prepare(config, space).config.comparisons.against == against
        return
    with pytest.raises(UserError, match=message):
        Sweep.prepare(config, space)
