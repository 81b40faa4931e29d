"""What a table of comparisons claims, and what it may not."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from test_question import HIGH, LOW, both, question_about
from test_tables import replicates

from noisetune.analysis.comparisons import comparisons_table
from noisetune.analysis.fitting import Fitted
from noisetune.analysis.summaries import summarise
from noisetune.analysis.tables import conditions_table
from noisetune.records import TrialRecord

SHARED = {"pretrain": {"method": "simclr", "epochs": 5}, "pretrain_seed": "shared"}


def text(table: Table, width: int = 300) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(Fitted(table), crop=False)
    return console.export_text()


def configured(records: list[TrialRecord], config: dict[str, Any]) -> list[TrialRecord]:
    return [replace(each, config=each.config | config) for each in records]


def shown(records: list[TrialRecord], choice: Any = None, width: int = 300, **more: Any) -> str:
    """The caption alone as wide as its lines are."""
    summaries = summarise(records, True)
    table = comparisons_table(summaries, question_about(summaries, **more), choice)
    return text(table, width) + str(table.caption)


def test_a_difference_is_put_in_words_with_the_replicate_that_showed_it() -> None:
    said = shown(both())
    assert "established at every look (5 % over 1 comparison): simclr above none" in said
    assert "(noise.rate=0.4 at n = 5)" in said
    assert "above at 5" in said


def test_what_is_lower_is_named_second() -> None:
    assert "none above simclr (noise.rate=0.4 at n = 5)" in shown(both(HIGH, LOW))


def test_places_of_one_finding_are_listed_together() -> None:
    records = [
        each
        for rate in (0.2, 0.6)
        for method, values in (("none", LOW), ("simclr", HIGH))
        for each in replicates(rate, method, values)
    ]
    assert "simclr above none (noise.rate=0.2 at n = 6, noise.rate=0.6 at n = 6)" in shown(records)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_under_five_replicates_there_is_no_verdict(n: int) -> None:
    said = shown(both(LOW[:n], HIGH[:n]))
    assert f"n = {n}: no verdict under n = 5; give more replicates" in said
    assert "established" not in said


def test_where_nothing_is_established_it_says_what_could_be() -> None:
    said = shown(both(LOW, LOW[::-1]))
    assert "nothing is established: with n = 8 and the spread seen here (2.0 points)" in said
    assert "a difference of 3.8 points would be, with a chance of 80 %" in said
    assert "half of that takes n = " in said
    assert "no difference" not in said


def test_identical_differences_are_a_sentence() -> None:
    said = shown(both([0.5] * 8, [0.6] * 8))
    assert "no verdict: the differences are identical: they tell of no variance" in said


def test_arms_within_the_margin_are_called_equal() -> None:
    near = [value + 0.002 * (-1) ** place for place, value in enumerate(LOW * 2)]
    said = shown(both(LOW * 2, near), margin=0.01)
    assert "equal within 1 point: simclr and none (noise.rate=0.4 at n = " in said


def test_another_epoch_is_a_look_without_a_verdict() -> None:
    said = shown(both(), "last")
    assert "a look without a verdict of its own: the sweep asks at the noisy-best epoch" in said
    assert "established" not in said
    assert "above at" not in said


def test_a_sweep_that_grew_as_it_went_says_what_does_not_hold() -> None:
    assert "NOT valid at their level" in shown(both(), adaptive=True)
    assert "to quote where n was fixed beforehand" in shown(both())


def test_collapsed_and_diverged_seeds_are_told_with_the_verdict() -> None:
    records = both(LOW, [*HIGH[:-1], 0.1])
    assert "seeds far below the others of their arm" in shown(records)
    records[-1] = replace(records[-1], state="failed", diverged=True)
    said = shown(records)
    assert "count with the last finite accuracy" in said
    assert "without them the verdict" in said


@pytest.mark.parametrize("config", [{"pretrain": {"method": "imagenet"}}, SHARED])
def test_what_is_conditional_on_one_encoder_is_marked_and_not_tested(
    config: dict[str, Any],
) -> None:
    records = replicates(0.4, "none", LOW) + configured(replicates(0.4, "simclr", HIGH), config)
    summaries = summarise(records, True)
    said = shown(records)
    conditions = text(conditions_table(summaries, "val/accuracy", False))
    assert all("† conditional on one encoder" in each for each in (said, conditions))
    assert "no verdict: all replicates begin with one encoder: not tested" in said
    assert "established at every look" not in said
    assert "†" in conditions.split("conditional")[0]


def test_without_sharing_nothing_is_marked() -> None:
    own = {"pretrain": {"method": "simclr", "epochs": 5}, "pretrain_seed": "per_replicate"}
    scratch = {"pretrain": {"method": "none"}, "pretrain_seed": "shared"}
    records = configured(replicates(0.4, "none", LOW), scratch)
    records += configured(replicates(0.4, "simclr", HIGH), own)
    assert "†" not in shown(records)
    assert "simclr above none" in shown(records)


def test_the_table_fits_80_columns() -> None:
    records = [
        each
        for method, values in (("none", LOW), ("barlow_twins", HIGH))
        for each in replicates(0.3, method, values)
    ]
    summaries = summarise(records, True)
    said = text(comparisons_table(summaries, question_about(summaries)), 80)
    assert "…" not in said
    assert "barlow_twins" in said
    assert "noise.rate=0.3" in said
    assert max(map(len, said.splitlines())) <= 80
