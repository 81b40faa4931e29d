"""Tables of any metrics by condition, and what they become as markdown."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table
from test_tables import one, replicates, trial

from noisetune.analysis.fitting import Fitted
from noisetune.analysis.metric_tables import (
    GROUPS,
    metric_cell,
    metric_intervals,
    metric_table,
    metric_tables,
    metrics_of,
)
from noisetune.analysis.rendering import as_markdown
from noisetune.analysis.summaries import summarise
from noisetune.analysis.tables import conditions_table, plain_table
from noisetune.records import TrialRecord


def with_metrics(records: list[TrialRecord], metric: str, values: list[float | None]) -> list:
    return [
        replace(each, metrics=each.metrics | {metric: value})
        for each, value in zip(records, values, strict=True)
    ]


def three(metric: str, values: list[float | None]) -> list[TrialRecord]:
    return with_metrics(replicates(0.4, "simclr", [0.5] * len(values)), metric, values)


def lines(table: Table, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(Fitted(table), crop=False)
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([0.5, 0.6, 0.7], "0.600\n0.352..0.848"),
        ([0.5], "0.500"),
        ([0.5, None, 0.7], "0.600\n-0.671..1.871\n(n 2)"),
        ([40.0, 50.0], "45.0\n-18.5..108.5"),
        ([None, None], ""),
    ],
)
def test_a_cell_is_the_mean_over_the_replicates_that_have_the_metric(
    values: list[float | None], cell: str
) -> None:
    assert metric_cell(one(three("detect/f1", values)), "detect/f1") == cell


def test_where_none_ran_again_the_winner_is_in_brackets() -> None:
    (search,) = with_metrics([trial()], "detect/f1", [0.25])
    assert metric_cell(one([search]), "detect/f1") == "(0.250)"
    table = metric_table([one([search])], "flagged", {"detect/f1": "F1"})
    assert "in brackets" in "\n".join(lines(table))


def test_the_search_trial_is_no_replicate() -> None:
    (search,) = with_metrics([trial(objective=0.9)], "detect/f1", [0.99])
    summary = one([search, *three("detect/f1", [0.5, 0.7])])
    assert metric_intervals(summary, ["detect/f1", "detect/auroc"]).keys() == {"detect/f1"}
    assert metric_intervals(summary, ["detect/f1"])["detect/f1"].mean == pytest.approx(0.6)


def test_columns_and_tables_that_nobody_has_are_left_out() -> None:
    records = [*three("detect/f1", [0.5, 0.6]), trial(0.4, "none")]
    (table,) = metric_tables(summarise(records, True), "detection")
    assert [str(column.header) for column in table.columns] == ["rate", "method", "n", "F1"]
    assert list(metric_tables(summarise(records, True), "telemetry")) == []


def test_where_the_sweep_chose_n_as_it_went_no_interval_holds() -> None:
    summaries = summarise(three("detect/f1", [0.5, 0.7]), True)
    for adaptive in (True, False):
        (table,) = metric_tables(summaries, "detection", adaptive)
        conditions = conditions_table(summaries, "val/accuracy", False, adaptive)
        assert ("NOT valid" in str(table.caption)) is adaptive
        assert ("NOT valid" in str(conditions.caption)) is adaptive


def test_given_encoders_are_marked() -> None:
    given = {"pretrain": {"method": "checkpoint"}}
    records = [replace(each, config=each.config | given) for each in three("detect/f1", [0.5, 0.7])]
    (table,) = metric_tables(summarise(records, True), "detection")
    assert "-0.671..1.871†" in "\n".join(lines(table))
    assert "† conditional on one encoder" in str(table.caption)


@pytest.mark.parametrize("group", GROUPS)
def test_every_table_of_a_group_fits_80_columns(group: str) -> None:
    records = [
        replace(each, metrics=dict.fromkeys(metrics_of(group), 0.875 + each.seed / 99))
        for method in ("none", "barlow_twins")
        for each in replicates(0.4, method, [0.5] * 10)
    ]
    tables = list(metric_tables(summarise(records, True), group))
    assert [str(table.title).split(";")[0] for table in tables] == list(GROUPS[group])
    for table, metrics_there in zip(tables, GROUPS[group].values(), strict=True):
        said = lines(table)
        assert "…" not in "".join(said)
        second = next(place for place, line in enumerate(said) if "barlow_twins" in line) + 1
        assert said[second].count("..") == len(metrics_there)


def test_no_metric_stands_twice() -> None:
    every = [metric for group in GROUPS for metric in metrics_of(group)]
    assert len(set(every)) == len(every)


def test_markdown_has_every_cell_of_the_table() -> None:
    table = plain_table("a title")
    table.add_column("val/\naccuracy", justify="right")
    table.add_column("two words")
    table.add_row("5 done\n1 pruned", "a|b_c")
    table.caption = "first\nsecond"
    assert as_markdown(table) == (
        "**a title**\n\n"
        "| val/accuracy | two words |\n"
        "| ---: | --- |\n"
        "| 5 done<br>1 pruned | a\\|b\\_c |\n\n"
        "first\n\nsecond\n"
    )


def test_the_objectives_ranking_is_shown_from_four_trials_on() -> None:
    accuracies = [0.5, 0.6, 0.7, 0.65]
    trials = [
        trial(number=n, objective=n / 10, accuracy={"noisy_best": value})
        for n, value in enumerate(accuracies)
    ]
    assert one(trials).tau == pytest.approx(2 / 3)  # one of six pairs is the other way round
    assert one(trials, maximize=False).tau == pytest.approx(-2 / 3)
    assert one(trials[:3]).tau is None
    said = "\n".join(lines(conditions_table([one(trials)], "val/accuracy", False)))
    assert "tau" in said
    assert "+0.67" in said
    oracle = "\n".join(lines(conditions_table([one(trials)], "test/accuracy", True)))
    assert "tau" not in oracle


def test_only_complete_search_trials_are_ranked() -> None:
    trials = [trial(number=n, objective=n / 10, accuracy={"noisy_best": n / 10}) for n in range(4)]
    pruned = trial(number=4, objective=None, state="pruned", accuracy={"noisy_best": 0.9})
    again = replicates(0.4, "simclr", [0.1, 0.05], [0.9, 0.95])
    assert one([*trials, pruned, *again]).tau == pytest.approx(1.0)
    assert one([*trials[:3], pruned, *again]).tau is None
