"""Summaries as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rich.table import Table

from noisetune.analysis.cells import CONDITIONAL, RULES, accuracy_text, known_choices
from noisetune.analysis.intervals import clopper_pearson, collapsed
from noisetune.analysis.statistics import FEW
from noisetune.analysis.summaries import ConditionSummary
from noisetune.selection import Choice

CONDITIONAL_NOTE = (
    f"{CONDITIONAL} conditional on one encoder, with which all replicates begin: not tested"
)

NOT_REPLICATED = (
    "(in brackets: of the trial that was chosen, which was not run again: a choice, no estimate)"
)
ADAPTIVE_NOTE = "this sweep chose n as it went: intervals of a mean are NOT valid at their level"
CHOSEN_NOTE = "best {0}: the highest of all trials and epochs, no estimate"
AGAIN_NOTE = f"{CHOSEN_NOTE}; (again): replicates'"
SEARCHED_NOTE = (
    "each of the n is a search of {0} trials on a fresh seed, so that a claim is about the method; "
    "(again): the mean over their winners, each the highest of its search"
)
EPOCH_NOTES = {
    "last": "the last epoch",
    "noisy_best": "the best by noisy validation",
    "label_wave": "that at which Label Wave stops",
    "oracle": "the best by clean test (oracle)",
}
ORACLE_NOTE = (
    "ORACLE: fine-tuned with knowledge of the truth (finetune.oracle), which nobody has who has "
    "noisy labels alone: {0}"
)
FEW_NOTE = (
    f"up to n = {FEW} the mean and each value, else the mean and its 95 % interval (bootstrap-t)"
)


def shown(value: Any) -> str:
    """A parameter's value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def points_text(resolution: float | None) -> str:
    """A selection resolution in points of clean accuracy; `none` where there is none."""
    return "none" if resolution is None else f"{100 * resolution:.1f}"


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """The last part of each field's path, or all of it where two end alike."""
    last = {field: field.rsplit(".", 1)[-1] for field in fields}
    often = Counter(last.values())
    return {field: short if often[short] == 1 else field for field, short in last.items()}


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """A setting, a line for each of its values; `fixed` for a recipe that has none."""
    short = short_names(parameters)
    lines = (f"{short[field]} {shown(value)}" for field, value in parameters.items())
    return "\n".join(lines) or "fixed"


def plain_table(title: str) -> Table:
    """An empty table; what it looks like is said by `Fitted` and by the forms of `rendering`."""
    return Table(title=title)


def conditions_table(
    summaries: Sequence[ConditionSummary], objective: str, oracle: bool, adaptive: bool = False
) -> Table:
    """One row a condition: its trials, its winner, and accuracy at each choice of epoch.

    `adaptive`: the sweep chose its number of replicates as it went.
    """
    mark = " (ORACLE objective)" if oracle else ""
    trials_each = max(summary.trials_each or 0 for summary in summaries)
    chosen = CHOSEN_NOTE if trials_each else AGAIN_NOTE
    choices = known_choices([(each.replicates, each.winner) for each in summaries])
    table = plain_table(f"chosen by {objective}{mark}; clean test accuracy in % over n replicates")
    notes = [
        f"accuracy at {', '.join(EPOCH_NOTES[choice] for choice in choices)}",
        *([FEW_NOTE] if any(each.replicates["last"] for each in summaries) else []),
        *([ADAPTIVE_NOTE] if adaptive else []),
        *([chosen.format(objective)] if any(map(_searched, summaries)) else []),
        *([SEARCHED_NOTE.format(trials_each)] if trials_each else []),
        *_collapsed_notes(summaries),
        *_oracle_notes(summaries),
    ]
    if not oracle and any(summary.tau is not None for summary in summaries):
        notes.append(f"tau: Kendall's, of {objective} and clean accuracy over the search trials")
    if any(each.ties for each in summaries):
        notes.append("ties: other settings whose score is within the spread of the replicates")
    if any(each.winner is not None and not each.replicates["last"] for each in summaries):
        notes.append(NOT_REPLICATED)
    table.caption = captioned(notes, summaries)
    factor_columns(table, summaries)
    for heading in ("trials", "chosen", f"best {objective}\n(again)".replace("/", "/\n")):
        table.add_column(heading)
    for heading in ("n", *(RULES[choice] for choice in choices)):
        table.add_column(heading, justify="right")
    for summary in summaries:
        table.add_row(*factor_cells(summary), *_result_cells(summary, oracle, choices))
    return table


def factor_columns(table: Table, summaries: Sequence[ConditionSummary]) -> None:
    """Columns that tell the conditions apart."""
    for heading in short_names(summaries[0].factors).values() or ("condition",):
        table.add_column(heading)


def factor_cells(summary: ConditionSummary) -> list[str]:
    """What stands in these columns."""
    return [shown(value) for value in summary.factors.values()] or ["all"]


def _oracle_notes(summaries: Sequence[ConditionSummary]) -> list[str]:
    names = [each.name for each in summaries if each.winner and each.winner.reads_truth]
    shown = "; ".join(names) if len(names) < len(summaries) else "all conditions"
    return [ORACLE_NOTE.format(shown)] if names else []


class Marked(Protocol):
    """What has intervals that may be conditional on one encoder."""

    @property
    def one_encoder(self) -> bool: ...


def captioned(notes: Sequence[str], marked: Iterable[Marked]) -> str:
    """The notes of a table, and what the mark means where one of the `marked` has it."""
    shared = any(each.one_encoder for each in marked)
    return "\n".join([*notes, *([CONDITIONAL_NOTE] if shared else [])])


def _result_cells(summary: ConditionSummary, oracle: bool, choices: Sequence[Choice]) -> list[str]:
    shown_as = {"complete": "done"}
    states = ("complete", "pruned", "failed", "running", "interrupted")
    counts = [
        f"{summary.counts[state]} {shown_as.get(state, state)}"
        for state in states
        if summary.counts[state]
    ]
    trials = "\n".join(counts) or "-"
    if summary.winner is None:
        return [trials, "none completed", *[""] * (2 + len(choices))]
    return [
        trials,
        parameters_text(summary.winner.parameters),
        _objective_cell(summary, oracle),
        _n_cell(summary),
        *(accuracy_cell(summary, choice) for choice in choices),
    ]


def _objective_cell(summary: ConditionSummary, oracle: bool) -> str:
    """The winner's score, that of its replicates, how well the objective ranks, what ties."""
    winner, again = summary.winner, list(summary.replicate_objectives.values())
    searched = winner is not None and winner.kind == "search"
    lines = []
    if searched and winner is not None and winner.objective is not None:
        lines.append(f"{winner.objective:.4f}")
    if again:
        lines.append(f"({sum(again) / len(again):.4f})")
    if summary.tau is not None and not oracle:
        lines.append(f"tau {summary.tau:+.2f}")
    if summary.ties:
        lines.append(f"ties {summary.ties}")
    return "\n".join(lines)


def _n_cell(summary: ConditionSummary) -> str:
    """How many replicates completed; of how many, and what became of the others."""
    done = len(summary.runs)
    others = {
        "diverged": len(summary.diverged),
        "failed": len(set(summary.failed) - set(summary.waiting)),
        "to come": len(summary.waiting),
    }
    lines = [f"{count} {what}" for what, count in others.items() if count]
    return "\n".join([f"{done} of {summary.planned}", *lines] if lines else [str(done)])


def accuracy_cell(summary: ConditionSummary, choice: str) -> str:
    """What the replicates say; what the winner does where none ran."""
    return accuracy_text(summary.replicates[choice], summary.winner, choice)


def _searched(summary: ConditionSummary) -> bool:
    return summary.winner is not None and summary.winner.kind == "search"


def _collapsed_notes(summaries: Sequence[ConditionSummary]) -> list[str]:
    """How often an arm collapses, as far as its replicates tell: no interval covers its mean."""
    notes = []
    for summary in summaries:
        accuracies = summary.replicates["noisy_best"]
        if gone := collapsed(accuracies):
            low, high = clopper_pearson(len(gone), len(accuracies))
            notes.append(
                f"{summary.name}: {len(gone)} of {len(accuracies)} seeds are far below the others "
                f"(95 %: {100 * low:.0f} to {100 * high:.0f} % of seeds are), so no mean is given"
            )
    return notes
