"""One setting for several conditions: of best mean rank, among those that all of them completed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from test_tables import trial

from noisetune.analysis.shared_choice import shared_winners
from noisetune.records import TrialRecord
from noisetune.selection import blocks_of

RATES = (0.2, 0.4, 0.6)
tables = st.integers(1, 6).flatmap(
    lambda settings: st.lists(
        st.lists(st.integers(0, 4), min_size=settings, max_size=settings), min_size=3, max_size=3
    )
)
"""Objectives, in tenths, of each of three conditions by setting."""


def searched(table: list[list[int]]) -> list[TrialRecord]:
    """Every setting (its learning rate) in every condition, in their order."""
    return [
        trial(rate, number=number, objective=tenths / 10, lr=float(number))
        for rate, row in zip(RATES, table, strict=True)
        for number, tenths in enumerate(row)
    ]


def chosen(records: list[TrialRecord], maximize: bool = True) -> list[float | None]:
    """The learning rate that each condition gets."""
    names = list(dict.fromkeys(each.condition for each in records))
    found = shared_winners(records, [names], maximize)
    assert list(found) == names
    winners = found.values()
    return [None if each is None else each.parameters["finetune.lr"] for each in winners]


@given(table=tables, maximize=st.booleans())
def test_the_best_mean_rank_wins_and_of_equals_the_first(
    table: list[list[int]], maximize: bool
) -> None:
    signed = -np.array(table) if maximize else np.array(table)
    ranks = rankdata(signed, axis=1, method="average").mean(axis=0)
    best = float(np.flatnonzero(ranks == ranks.min())[0])
    assert chosen(searched(table), maximize) == [best] * 3


@given(table=tables, order=st.randoms(use_true_random=False))
def test_which_trial_ended_first_is_nothing_to_it(table: list[list[int]], order: object) -> None:
    records = searched(table)
    shuffled = records[:]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    names = list(dict.fromkeys(each.condition for each in records))
    assert shared_winners(shuffled, [names], True) == shared_winners(records, [names], True)


def test_what_did_not_complete_everywhere_does_not_count() -> None:
    """The best setting failed in one condition: it has no rank in the others either."""
    records = searched([[9, 5, 4], [9, 5, 4], [9, 4, 5]])
    records[0] = replace(records[0], state="failed", objective=None)
    assert chosen(records) == [1.0] * 3


@pytest.mark.parametrize("lost", [range(2), range(3)], ids=["apart", "whole condition"])
def test_none_is_chosen_where_none_is_complete_in_all(lost: range) -> None:
    records = searched([[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    for place in lost:
        records[place] = replace(records[place], state="running", objective=None)
    if len(lost) == 2:
        records[5] = replace(records[5], state="failed", objective=None)
    assert chosen(records) == [None] * 3


def test_a_condition_that_has_not_begun_keeps_its_block_waiting() -> None:
    records = searched([[1, 2], [1, 2], [1, 2]])
    names = list(dict.fromkeys(each.condition for each in records))
    found = shared_winners(records[:4], [names], True)
    assert found == dict.fromkeys(names)


def test_a_fixed_recipe_has_nothing_to_choose() -> None:
    assert shared_winners([trial(seed=1)], [["noise.rate=0.4 pretrain.method=simclr"]], True) == {}


def test_blocks_are_equal_in_all_but_the_named_factors() -> None:
    cells = [
        (f"{rate} {method}", {"noise": rate, "pretrain.method": method})
        for method in ("none", "simclr")
        for rate in ("sym", "asym")
    ]
    names = [name for name, _ in cells]
    assert blocks_of(cells, ["noise"]) == [names[:2], names[2:]]
    assert blocks_of(cells, ["noise", "pretrain.method"]) == [names]
    assert blocks_of(cells, []) == [[name] for name in names]
