from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.analysis.summaries import (
    ConditionSummary,
    best_of_groups,
    group_of,
    score_resolution,
    summarise,
    winner_of,
)
from noisetune.analysis.tables import accuracy_cell, conditions_table, short_names, shown
from noisetune.records import TrialRecord
from noisetune.selection import CHOICES


def trial(
    rate: float = 0.4,
    method: str = "simclr",
    *,
    number: int = 0,
    objective: float | None = 0.5,
    state: Any = "complete",
    seed: int = 0,
    accuracy: dict[str, float | None] | None = None,
    lr: float = 0.01,
    **more: Any,
) -> TrialRecord:
    """A search trial, or with a seed a replicate, of the condition that rate and method make."""
    factors = {"noise.rate": rate, "pretrain.method": method} | more
    metrics = {f"test/accuracy_at_{choice}": value for choice, value in (accuracy or {}).items()}
    return TrialRecord(
        name=f"{rate} {method} {'replicate' if seed else 'trial'} {number}",
        condition=" ".join(f"{field}={value}" for field, value in factors.items()),
        factors=factors,
        kind="replicate" if seed else "search",
        number=number,
        state=state,
        parameters={"finetune.lr": lr},
        config={"replicate": seed},
        objective=objective,
        metrics=metrics,
    )


def replicates(
    rate: float, method: str, accuracies: list[float], objectives: list[float] | None = None
) -> list[TrialRecord]:
    return [
        trial(
            rate,
            method,
            number=seed - 1,
            seed=seed,
            objective=objectives[seed - 1] if objectives else 0.5,
            accuracy=dict.fromkeys(CHOICES, value),
        )
        for seed, value in enumerate(accuracies, start=1)
    ]


def one(records: list[TrialRecord], maximize: bool = True) -> ConditionSummary:
    (summary,) = summarise(records, maximize)
    return summary


@pytest.mark.parametrize(("maximize", "number"), [(True, 2), (False, 1)])
def test_the_winner_has_the_best_objective(maximize: bool, number: int) -> None:
    trials = [trial(number=n, objective=v) for n, v in enumerate([0.5, 0.3, 0.7, 0.4])]
    winner = winner_of(trials, maximize)
    assert winner is not None
    assert winner.number == number


@given(st.permutations(range(5)), st.booleans())
def test_of_equal_trials_the_earlier_wins(order: list[int], maximize: bool) -> None:
    objectives = {0: 0.5, 1: 0.9 if maximize else 0.1, 2: 0.5, 3: 0.9 if maximize else 0.1, 4: 0.5}
    winner = winner_of([trial(number=n, objective=objectives[n]) for n in order], maximize)
    assert winner is not None
    assert winner.number == 1


def test_a_method_that_reads_the_truth_is_named() -> None:
    oracle = replace(trial(method="none"), config={"replicate": 0, "finetune": {"oracle": True}})
    plain = trial()
    both, alone, neither = (
        str(conditions_table(summarise(records, True), "val/accuracy", oracle=False).caption)
        for records in ([oracle, plain], [oracle], [plain])
    )
    assert f"noisy labels alone: {oracle.condition}\n" in f"{both}\n"
    assert "noisy labels alone: all conditions" in alone
    assert "ORACLE" not in neither


def test_only_complete_search_trials_win() -> None:
    trials = [
        trial(number=0, objective=0.4),
        trial(number=1, objective=None, state="pruned"),
        trial(number=2, objective=None, state="failed"),
        trial(number=3, objective=None, state="running"),
        trial(number=0, objective=0.9, seed=1),
        trial(number=1, objective=None, seed=2, state="failed"),
    ]
    summary = one(trials)
    assert summary.winner is trials[0]
    assert summary.counts == {"complete": 1, "pruned": 1, "failed": 1, "running": 1}


def test_a_fixed_recipe_is_its_first_replicate() -> None:
    trials = replicates(0.4, "simclr", [0.6, 0.9], [0.3, 0.8])
    summary = one(trials)
    assert summary.winner is trials[0]
    assert not summary.counts
    assert summary.replicates["last"] == {1: 0.6, 2: 0.9}


@pytest.mark.parametrize("state", ["running", "pruned", "failed"])
def test_where_nothing_completed_there_is_no_winner(state: str) -> None:
    summary = one([trial(state=state, objective=None)])
    assert summary.winner is None
    assert summary.replicates["last"] == {}
    assert accuracy_cell(summary, "last") == ""
    assert best_of_groups([summary], True, {summary.name: 0.0}) == []


def test_the_search_winner_is_no_replicate() -> None:
    search = trial(objective=0.9, accuracy=dict.fromkeys(CHOICES, 0.99))
    summary = one([search, *replicates(0.4, "simclr", [0.5, 0.6, 0.7], [0.4, 0.5, 0.6])])
    assert summary.replicates["noisy_best"] == {1: 0.5, 2: 0.6, 3: 0.7}
    assert summary.replicate_objectives == {1: 0.4, 2: 0.5, 3: 0.6}


def test_replicates_of_an_earlier_winner_are_not_those_of_a_new_one() -> None:
    """A search that was extended may find a better trial than the one that was run again."""
    old = [trial(objective=0.5), *replicates(0.4, "simclr", [0.5, 0.6])]
    again = trial(seed=3, number=2, lr=0.5, accuracy={"last": 0.75}, objective=0.7)
    summary = one([*old, trial(number=1, objective=0.8, lr=0.5), again])
    assert summary.replicates["last"] == {3: 0.75}
    assert summary.replicate_objectives == {3: 0.7}


def test_replicates_that_did_not_complete_or_have_no_figure_are_left_out() -> None:
    trials = [
        trial(),
        *replicates(0.4, "simclr", [0.5, 0.6]),
        trial(seed=3, number=2, state="failed", objective=None, accuracy={"last": 0.1}),
        trial(seed=4, number=3, accuracy={"last": 0.7, "noisy_best": None}),
    ]
    summary = one(trials)
    assert summary.replicates["last"] == {1: 0.5, 2: 0.6, 4: 0.7}
    assert (summary.planned, summary.diverged, summary.failed) == (4, (), (3,))
    assert summary.replicates["noisy_best"] == {1: 0.5, 2: 0.6}


def test_of_searches_a_table_says_that_a_claim_is_about_the_method() -> None:
    """tau is that of a seed's own trials: another seed's scores are of another split."""
    records = [
        replace(
            trial(number=number, objective=shift + number / 100, lr=0.01 + number),
            metrics={"test/accuracy_at_noisy_best": number / 10},
            config={"replicate": seed},
            won=number == 3,
        )
        for seed, shift in ((1, 0.5), (2, 0.1))
        for number in range(4)
    ]
    summary = one(records)
    assert (summary.tau, summary.ties, summary.trials_each) == (pytest.approx(1.0), None, 4)
    assert summary.replicates["noisy_best"] == {1: 0.3, 2: 0.3}
    caption = str(conditions_table([summary], "val/accuracy", oracle=False).caption)
    assert "each of the n is a search of 4 trials on a fresh seed" in caption
    alone = one([trial(), *replicates(0.4, "simclr", [0.5, 0.6])])
    assert "search of" not in str(conditions_table([alone], "val/accuracy", oracle=False).caption)


def test_conditions_keep_their_first_order() -> None:
    trials = [trial(0.8), trial(0.2, number=1), trial(0.8, number=1), trial(0.2, "none")]
    rates = [summary.factors for summary in summarise(trials, True)]
    assert rates == [
        {"noise.rate": 0.8, "pretrain.method": "simclr"},
        {"noise.rate": 0.2, "pretrain.method": "simclr"},
        {"noise.rate": 0.2, "pretrain.method": "none"},
    ]
    assert summarise([], True) == []


def test_a_group_is_equal_data_and_noise() -> None:
    factors = {"noise.rate": 0.4, "data.name": "digits", "pretrain.method": "none", "database": 1}
    assert group_of(factors) == {"noise.rate": 0.4, "data.name": "digits"}
    assert group_of({}) == {}


rates = st.sampled_from([0.0, 0.2, 0.4, 0.6])
methods = st.sampled_from(["none", "simclr", "barlow_twins"])
scored = st.dictionaries(st.tuples(rates, methods), st.floats(0, 1), min_size=1)


@given(scored, st.booleans())
def test_there_is_a_best_in_each_group_and_none_across_noise_rates(
    scores: dict[tuple[float, str], float], maximize: bool
) -> None:
    trials = [trial(rate, method, objective=value) for (rate, method), value in scores.items()]
    summaries = summarise(trials, maximize)
    found = best_of_groups(summaries, maximize, dict.fromkeys([s.name for s in summaries], 0.0))
    choose = max if maximize else min
    best = {
        rate: choose(value for (other, _), value in scores.items() if other == rate)
        for rate, _ in scores
    }
    assert {each.group["noise.rate"]: each.score for each in found} == best
    assert len(found) == len(best)
    for each in found:
        assert all(f"noise.rate={each.group['noise.rate']} " in name for name in each.ties)


def test_of_one_run_each_what_is_within_the_binomial_error_ties() -> None:
    """Three pairs: 2.39 standard errors of a difference."""
    scores = {"none": 0.50, "simclr": 0.56, "barlow_twins": 0.60}
    summaries = summarise([trial(method=m, objective=v) for m, v in scores.items()], True)
    names = {summary.factors["pretrain.method"]: summary.name for summary in summaries}
    for error, ties in [(0.01, []), (0.02, ["simclr"]), (0.05, ["none", "simclr"])]:
        (found,) = best_of_groups(summaries, True, dict.fromkeys(names.values(), error))
        assert found.best.name == names["barlow_twins"]
        assert found.ties == sorted(names[method] for method in ties)


def test_with_replicates_their_spread_decides() -> None:
    near = [0.50, 0.56, 0.47, 0.55, 0.52]
    records = [
        each
        for method, values in (("none", near), ("simclr", [each + 0.01 for each in near[::-1]]))
        for each in replicates(0.4, method, [0.5] * 5, values)
    ]
    summaries = summarise(records, True)
    (found,) = best_of_groups(summaries, True, dict.fromkeys([s.name for s in summaries], 0.0))
    assert len(found.ties) == 1


def test_replicates_judge_a_winner_not_its_own_lucky_figure() -> None:
    trials = [
        trial(method="simclr", objective=0.9),
        *replicates(0.4, "simclr", [0.5, 0.5], [0.5, 0.6]),
        trial(method="none", objective=0.7),
        *replicates(0.4, "none", [0.5, 0.5], [0.7, 0.6]),
    ]
    summaries = summarise(trials, True)
    (found,) = best_of_groups(summaries, True, dict.fromkeys([s.name for s in summaries], 0.0))
    assert found.best.factors["pretrain.method"] == "none"
    assert found.score == pytest.approx(0.65)


def test_the_resolution_is_the_error_of_the_mean_over_replicates() -> None:
    """sqrt(.8 * .2 / 100) = .04, and half of it over four replicates."""
    search = trial(objective=0.8)
    assert score_resolution(one([search]), 100) == pytest.approx(0.04)
    again = replicates(0.4, "simclr", [0.5] * 4, [0.7, 0.9, 0.8, 0.8])
    assert score_resolution(one([search, *again]), 100) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([0.5, 0.6, 0.7], "60.0\n50.0 60.0\n70.0"),
        ([0.5], "50.0"),
        ([0.5] * 8, "50.0\n50.0..50.0"),
        ([0.8, 0.81, 0.1, 0.82], "80.5 median\n1 of 4 low\n80.0 81.0\n10.0 82.0"),
        ([], "(99.0)"),
    ],
)
def test_a_cell_is_percent_with_its_values_or_the_winner_in_brackets(
    values: list[float], cell: str
) -> None:
    search = trial(accuracy=dict.fromkeys(CHOICES, 0.99))
    assert accuracy_cell(one([search, *replicates(0.4, "simclr", values)]), "last") == cell


@pytest.mark.parametrize(
    ("value", "text"), [(0.00123456, "0.00123"), (12, "12"), ("adam", "adam"), (True, "True")]
)
def test_values_are_shown_short(value: Any, text: str) -> None:
    assert shown(value) == text


def test_fields_are_named_by_their_last_part_where_that_is_clear() -> None:
    fields = ["noise.rate", "pretrain.lr", "finetune.lr", "method"]
    assert list(short_names(fields).values()) == ["rate", "pretrain.lr", "finetune.lr", "method"]
