"""The table of a paper."""

import pytest
from test_question import HIGH, LOW, both, question_about
from test_tables import replicates, trial

from noisetune.analysis.main_table import main_table
from noisetune.analysis.question import answers
from noisetune.analysis.rendering import as_latex, as_markdown, cells_of, is_bold
from noisetune.analysis.summaries import summarise
from noisetune.records import TrialRecord


def table_of(records: list[TrialRecord], adaptive: bool = False):
    summaries = summarise(records, True)
    found = answers(summaries, question_about(summaries), "noisy_best")
    return main_table(summaries, found, "noisy_best", True, adaptive)


def test_what_is_established_is_bold_at_the_epoch_that_is_asked_about() -> None:
    table = table_of(both())
    none, simclr = cells_of(table)
    headings = [str(column.header).replace("\n", " ") for column in table.columns]
    assert [headings[place] for place, cell in enumerate(simclr) if is_bold(cell)] == ["noisy best"]
    assert not any(map(is_bold, none))
    assert simclr[headings.index("above")].plain == "none"
    assert none[headings.index("above")].plain == ""
    assert r"\textbf{" in as_latex(table)
    assert "| **7" in as_markdown(table)


@pytest.mark.parametrize("high", [LOW, HIGH[:4]])
def test_nothing_is_bold_where_nothing_is_established(high: list[float]) -> None:
    table = table_of(both(LOW[: len(high)], high))
    assert not any(is_bold(cell) for row in cells_of(table) for cell in row)
    assert "bold" not in str(table.caption)


def test_an_arm_that_is_below_its_baseline_makes_the_baseline_bold() -> None:
    none, simclr = cells_of(table_of(both(HIGH, LOW)))
    assert any(map(is_bold, none))
    assert not any(map(is_bold, simclr))


def test_the_best_by_noisy_labels_and_its_ties() -> None:
    records = replicates(0.4, "none", LOW, [0.3] * 8)
    records += replicates(0.4, "simclr", HIGH, [0.5, 0.51, 0.5, 0.52, 0.5, 0.51, 0.5, 0.5])
    none, simclr = cells_of(table_of(records))
    assert simclr[-2].plain == "best"
    assert none[-2].plain == ""


def test_a_choice_that_was_not_run_again_is_in_brackets() -> None:
    table = table_of([trial(accuracy={"noisy_best": 0.7}), trial(method="none")])
    assert "(70.0)" in [cell.plain for cell in cells_of(table)[0]]
    assert "was not run again" in str(table.caption)


def test_it_says_where_intervals_do_not_hold() -> None:
    assert "NOT valid" in str(table_of(both(), adaptive=True).caption)
    assert "NOT valid" not in str(table_of(both()).caption)
