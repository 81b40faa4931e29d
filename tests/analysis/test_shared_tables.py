"""What one setting over several conditions comes to, beside the own one of each."""

from dataclasses import replace

import pytest
from test_question import question_about
from test_tables import trial

from noisetune.analysis.rendering import cells_of
from noisetune.analysis.shared_choice import shared_winners
from noisetune.analysis.shared_tables import (
    SharedChoice,
    losses,
    overall_loss,
    shared_table,
    shared_tables,
)
from noisetune.analysis.summaries import summarise
from noisetune.records import TrialRecord
from noisetune.selection import CHOICES, blocks_of

OBJECTIVES = {0.2: [0.9, 0.8, 0.1], 0.6: [0.1, 0.5, 0.6], 0.8: [0.1, 0.9, 0.2]}
"""By rate, of three settings: the second has the best mean rank, and is the own one of 0.8."""
GAP = {0.2: 0.05, 0.6: 0.02, 0.8: 0.0}


def searched() -> list[TrialRecord]:
    return [
        trial(rate, method, number=number, objective=value, lr=number / 100)
        for method in ("none", "simclr")
        for rate, values in OBJECTIVES.items()
        for number, value in enumerate(values)
    ]


def again(n: int = 6) -> list[TrialRecord]:
    """Replicates of the own setting of each condition, and of the shared one, worse by a gap."""
    own = {0.2: 0, 0.6: 2, 0.8: 1}
    return [
        trial(
            rate,
            method,
            number=n * place + seed - 1,
            seed=seed,
            lr=number / 100,
            accuracy=dict.fromkeys(CHOICES, 0.7 + seed / 100 - place * GAP[rate] * (1 + seed / 50)),
        )
        for method in ("none", "simclr")
        for rate, first in own.items()
        for place, number in enumerate(dict.fromkeys([first, 1]))
        for seed in range(1, n + 1)
    ]


def choice_of(records: list[TrialRecord]) -> SharedChoice:
    cells = dict.fromkeys(each.condition for each in records)
    factors = {each.condition: each.factors for each in records}
    blocks = blocks_of([(name, factors[name]) for name in cells], ["noise.rate"])
    shared = summarise(records, True, shared_winners(records, blocks, True))
    return SharedChoice(summarise(records, True), shared, ("noise.rate",), "val/accuracy")


def test_each_summary_has_the_replicates_of_its_own_setting() -> None:
    both = choice_of(searched() + again())
    for own, shared in zip(both.own, both.shared, strict=True):
        assert own.winner is not None
        assert shared.winner is not None
        assert shared.winner.parameters == {"finetune.lr": 0.01}
        assert {each.parameters["finetune.lr"] for each in own.runs} == {
            own.winner.parameters["finetune.lr"]
        }
        assert {each.parameters["finetune.lr"] for each in shared.runs} == {0.01}
        assert len(own.runs) == len(shared.runs) == 6


def test_what_is_lost_is_paired_by_replicate() -> None:
    lost = losses(choice_of(searched() + again()), "noisy_best")
    for rate, gap in GAP.items():
        each = lost[f"noise.rate={rate} pretrain.method=none"]
        assert each.same == (rate == 0.8)
        assert each.difference.n == 6
        assert each.difference.mean == pytest.approx(gap * (1 + 3.5 / 50))


def test_over_all_conditions_it_is_the_mean() -> None:
    both = choice_of(searched() + again())
    overall = overall_loss(both, "noisy_best")
    assert overall is not None
    assert overall.gain.mean == pytest.approx(sum(GAP.values()) / 3 * (1 + 3.5 / 50))
    assert overall_loss(choice_of(searched() + again(1)), "noisy_best") is None


def test_a_row_for_each_condition() -> None:
    both = choice_of(searched() + again())
    table = shared_table(both, question_about(both.own))
    rows = [[cell.plain for cell in row] for row in cells_of(table)]
    assert [row[2] for row in rows] == ["lr 0.01"] * 6
    assert [row[3] for row in rows] == ["6"] * 6
    assert [row[-1].split("\n")[0] for row in rows] == ["5.4", "2.1", "same"] * 2
    assert "over all 6 conditions one setting loses points: 2.5 (" in str(table.caption)
    assert str(table.title).startswith("one setting over noise.rate")


def test_differences_under_it_have_no_verdict() -> None:
    both = choice_of(searched() + again())
    _, compared = shared_tables(both, question_about(both.own))
    assert "one setting over noise.rate" in str(compared.title)
    assert "verdict" not in {str(column.header) for column in compared.columns}
    assert "a look without a verdict of its own: the sweep asks about the setting that each" in str(
        compared.caption
    )


def test_while_its_block_is_searched_a_condition_has_none() -> None:
    records = [replace(each, state="running", objective=None) for each in searched()[:3]]
    both = choice_of(records + searched()[3:])
    table = shared_table(both, question_about(both.own))
    rows = [[cell.plain for cell in row] for row in cells_of(table)]
    assert [row[2] for row in rows] == ["none yet"] * 3 + ["lr 0.01"] * 3
    assert losses(both, "noisy_best").keys() == {each.name for each in both.own[3:]}
