"""One setting over several conditions beside the own one of each: what that comes to, and loses."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from noisetune.analysis.cells import CONDITIONAL, RULES, in_points, interval_text, known_choices
from noisetune.analysis.comparisons import EPOCHS, comparisons_table
from noisetune.analysis.gains import FIXED, NOT_FIXED
from noisetune.analysis.over_conditions import Gain, overall_gain, paired_stratum
from noisetune.analysis.question import Question
from noisetune.analysis.statistics import Interval, paired_difference
from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.tables import (
    FEW_NOTE,
    accuracy_cell,
    captioned,
    factor_cells,
    factor_columns,
    parameters_text,
    plain_table,
)
from noisetune.selection import Choice

CHOSEN = (
    "chosen: the setting whose rank by {0} is best on the mean over {1}, of those that completed "
    "in all of these conditions"
)
LOSES = (
    "loses: points of accuracy at {0} below the setting that the condition chose for itself, "
    "paired by replicate, with the t interval of a number of replicates that was fixed beforehand; "
    "same: both rules chose one setting"
)


@dataclass(frozen=True)
class SharedChoice:
    """What a sweep that chooses in two ways came to: `own` summaries, of the setting that each
    condition chose for itself, and `shared` ones, of the one that was chosen `across` factors by
    the `objective`."""

    own: Sequence[ConditionSummary]
    shared: Sequence[ConditionSummary]
    across: tuple[str, ...]
    objective: str


@dataclass(frozen=True)
class Loss:
    """What a condition loses (0..1, own minus shared) under a setting that it shares; `same`: it
    chose that itself."""

    same: bool
    difference: Interval


def losses(choice: SharedChoice, epoch: Choice) -> dict[str, Loss]:
    """By condition, at a choice of epoch; without those whose setting is not chosen yet."""
    own = {each.name: each for each in choice.own}
    return {
        each.name: _loss(own[each.name], each, epoch)
        for each in choice.shared
        if each.winner is not None and own[each.name].winner is not None
    }


def overall_loss(choice: SharedChoice, epoch: Choice) -> Gain | None:
    """What is lost over all conditions; None where one has fewer than two replicates of both."""
    own = {each.name: each.replicates[epoch] for each in choice.own}
    return overall_gain(
        [paired_stratum(own[each.name], each.replicates[epoch]) for each in choice.shared]
    )


def shared_tables(choice: SharedChoice, question: Question) -> list[Table]:
    """What the shared setting comes to in each condition, and the differences under it."""
    look = f"one setting over {', '.join(choice.across)}"
    compared = comparisons_table(choice.shared, question, look=look)
    return [shared_table(choice, question), *([compared] if compared.row_count else [])]


def shared_table(choice: SharedChoice, question: Question) -> Table:
    """One row a condition: the setting, its accuracies, and what it loses against the own one."""
    choices = known_choices([(each.replicates, each.winner) for each in choice.shared])
    lost, across = losses(choice, question.epoch), ", ".join(choice.across)
    table = plain_table(f"one setting over {across}; clean test accuracy in % over n replicates")
    factor_columns(table, choice.shared)
    table.add_column("chosen")
    for heading in ("n", *(RULES[each] for each in choices), "loses"):
        table.add_column(heading, justify="right")
    for each in choice.shared:
        cells = _cells(each, choices, lost.get(each.name))
        table.add_row(*factor_cells(each), *cells)
    table.caption = captioned(_notes(choice, question), choice.shared)
    return table


def _loss(own: ConditionSummary, shared: ConditionSummary, epoch: Choice) -> Loss:
    assert own.winner is not None
    assert shared.winner is not None
    difference, _ = paired_difference(own.replicates[epoch], shared.replicates[epoch])
    return Loss(own.winner.parameters == shared.winner.parameters, difference)


def _cells(summary: ConditionSummary, choices: Sequence[Choice], loss: Loss | None) -> list[str]:
    if summary.winner is None or loss is None:
        return ["none yet", *[""] * (2 + len(choices))]
    mark = CONDITIONAL if summary.one_encoder else ""
    return [
        parameters_text(summary.winner.parameters),
        str(len(summary.runs)),
        *(accuracy_cell(summary, each) for each in choices),
        "same" if loss.same else interval_text(in_points(loss.difference), 1, mark),
    ]


def _notes(choice: SharedChoice, question: Question) -> list[str]:
    overall, notes = overall_loss(choice, question.epoch), list[str]()
    if overall is not None:
        lost = " (".join(interval_text(in_points(overall.gain), 1).split("\n"))
        notes.append(
            f"over all {overall.groups} conditions one setting loses points: {lost}; "
            f"{NOT_FIXED if question.adaptive else FIXED})"
        )
    replicated = any(each.replicates["last"] for each in choice.shared)
    return [
        *notes,
        *([FEW_NOTE] if replicated else []),
        CHOSEN.format(choice.objective, ", ".join(choice.across)),
        LOSES.format(EPOCHS[question.epoch]),
    ]
