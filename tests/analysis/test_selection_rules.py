"""What each rule of choosing an epoch loses against the oracle."""

from dataclasses import replace

import pytest
from test_metric_tables import lines
from test_tables import one, replicates, trial

from noisetune.analysis.rendering import cells_of
from noisetune.analysis.selection_rules import rule_of, selection_table
from noisetune.analysis.summaries import summarise
from noisetune.records import TrialRecord

LAST, NOISY, WAVE = [0.60, 0.62, 0.61], [0.70, 0.71, 0.75], [0.68, 0.74, 0.76]
ORACLE = [0.72, 0.75, 0.78]
RULES = {"last": LAST, "noisy_best": NOISY, "label_wave": WAVE, "oracle": ORACLE}


def chosen(rules: dict[str, list[float]] = RULES) -> list[TrialRecord]:
    """Replicates whose accuracies are those of the rules; the epoch is the seed's."""
    return [
        replace(each, metrics={
            name: value
            for rule, values in rules.items()
            for name, value in (
                (f"test/accuracy_at_{rule}", values[each.seed - 1]),
                (f"epoch_at_{rule}", float(each.seed)),
            )
        })
        for each in replicates(0.4, "simclr", [0.5] * 3)
    ]  # fmt: skip


def cells(records: list[TrialRecord]) -> list[list[str]]:
    table = selection_table(summarise(records, True))
    assert table is not None
    return [[cell.plain for cell in row] for row in cells_of(table)]


def test_what_a_rule_loses_is_paired_by_replicate() -> None:
    rule = rule_of(one(chosen()), "noisy_best")
    assert rule.epoch == 2
    assert rule.behind.n == 3
    assert rule.behind.mean == pytest.approx((0.02 + 0.04 + 0.03) / 3)
    half = 4.302653 * 0.01 / 3**0.5
    assert rule.behind.high == pytest.approx(0.03 + half)


def test_a_row_for_each_rule() -> None:
    rows = cells(chosen())
    assert [row[2] for row in rows] == ["last", "noisy best", "label wave", "oracle"]
    assert [row[3] for row in rows] == ["3"] * 4
    assert [row[4] for row in rows] == ["2.0"] * 4
    assert [row[5].split("\n")[0] for row in rows] == ["61.0", "72.0", "72.7", "75.0"]
    assert [row[6].split("\n")[0] for row in rows] == ["14.0", "3.0", "2.3", ""]


def test_trials_of_an_earlier_version_have_no_label_wave() -> None:
    old = {rule: values for rule, values in RULES.items() if rule != "label_wave"}
    assert [row[2] for row in cells(chosen(old))] == ["last", "noisy best", "oracle"]
    assert rule_of(one(chosen(old)), "label_wave").behind.mean is None


def test_of_some_trials_of_an_earlier_version_the_others_count() -> None:
    first, *others = chosen()
    old = {name: value for name, value in first.metrics.items() if "label_wave" not in name}
    rows = cells([replace(first, metrics=old), *others])
    assert (rows[2][2], rows[2][3], rows[2][6].split("\n")[0]) == ("label wave", "2", "1.5")


def test_where_none_ran_again_the_winner_is_in_brackets() -> None:
    accuracy: dict[str, float | None] = {rule: values[0] for rule, values in RULES.items()}
    rows = cells([trial(accuracy=accuracy)])
    assert [row[5] for row in rows] == ["(60.0)", "(70.0)", "(68.0)", "(72.0)"]
    assert [row[6] for row in rows] == ["(12.0)", "(2.0)", "(4.0)", ""]


def test_without_a_complete_trial_there_is_no_table() -> None:
    assert selection_table(summarise([trial(state="running", objective=None)], True)) is None


def test_it_fits_a_terminal() -> None:
    table = selection_table(summarise(chosen(), True))
    assert table is not None
    assert max(map(len, lines(table))) <= 80
