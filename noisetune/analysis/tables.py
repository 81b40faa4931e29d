"""Summaries as rich tables, in one style."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.table import Table

from noisetune.analysis.statistics import mean_interval
from noisetune.analysis.summaries import CHOICES, ConditionSummary
from noisetune.records import TrialRecord

CONDITIONAL = "†"
CONDITIONAL_NOTE = (
    f"{CONDITIONAL} conditional on one encoder, with which all replicates begin: not tested"
)

NOT_REPLICATED = "(in brackets: of the trial that was chosen itself, which was not run again)"


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


def plain_table(title: str) -> Table:
    """An empty table in the style of all of ours: it fits a terminal of 80 columns."""
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def conditions_table(summaries: Sequence[ConditionSummary], objective: str, oracle: bool) -> Table:
    """One row a condition: its trials, its winner, and accuracy at the three choices of epoch."""
    mark = " (ORACLE objective)" if oracle else ""
    table = plain_table(
        f"chosen by {objective}{mark}; clean test accuracy in %, mean ± 95 % over n replicates"
    )
    notes = [
        "accuracy at the last epoch, the best by noisy validation, the best by clean test (oracle)"
    ]
    if not oracle and any(summary.tau is not None for summary in summaries):
        notes.append(f"tau: Kendall's, of {objective} and clean accuracy over the search trials")
    if any(each.winner is not None and not each.replicates["last"] for each in summaries):
        notes.append(NOT_REPLICATED)
    table.caption = captioned(notes, summaries)
    for heading in short_names(summaries[0].factors).values() or ("condition",):
        table.add_column(heading, overflow="fold")
    table.add_column("trials", overflow="fold")
    # Numbers in one piece: half of a rate reads as another rate.
    for heading in ("chosen", objective.replace("/", "/\n")):
        table.add_column(heading, no_wrap=True)
    for heading in ("n", "last", "noisy\nbest", "oracle"):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        factors = [shown(value) for value in summary.factors.values()] or ["all"]
        table.add_row(*factors, *_result_cells(summary, oracle))
    return table


class Marked(Protocol):
    """What has intervals that may be conditional on one encoder."""

    @property
    def one_encoder(self) -> bool: ...


def captioned(notes: Sequence[str], marked: Iterable[Marked]) -> str:
    """The notes of a table, and what the mark means where one of the `marked` has it."""
    shared = any(each.one_encoder for each in marked)
    return "\n".join([*notes, *([CONDITIONAL_NOTE] if shared else [])])


def _result_cells(summary: ConditionSummary, oracle: bool) -> list[str]:
    shown_as = {"complete": "done"}
    states = ("complete", "pruned", "failed", "running", "interrupted")
    counts = [
        f"{summary.counts[state]} {shown_as.get(state, state)}"
        for state in states
        if summary.counts[state]
    ]
    trials = "\n".join(counts) or "-"
    if summary.winner is None:
        return [trials, "none completed", *[""] * 5]
    short = short_names(summary.winner.parameters)
    chosen = "\n".join(
        f"{short[key]} {shown(value)}" for key, value in summary.winner.parameters.items()
    )
    objective = "" if summary.winner.objective is None else f"{summary.winner.objective:.4f}"
    if summary.tau is not None and not oracle:
        objective += f"\ntau {summary.tau:+.2f}"
    return [
        trials,
        chosen or "fixed",
        objective,
        str(len(summary.replicates["last"])),
        *(accuracy_cell(summary, choice) for choice in CHOICES),
    ]


def accuracy_cell(summary: ConditionSummary, choice: str) -> str:
    """Mean and half-width of the 95 % interval over replicates; the winner's where none ran."""
    return accuracy_text(summary.replicates[choice], summary.winner, choice)


def accuracy_text(replicates: Mapping[int, float], trial: TrialRecord | None, choice: str) -> str:
    """The mean over `replicates` with its interval in %, or in brackets that of the `trial`."""
    interval = mean_interval(list(replicates.values()))
    if interval.mean is not None:
        half = "" if interval.high is None else f" ±{100 * (interval.high - interval.mean):.1f}"
        mark = CONDITIONAL if half and trial is not None and trial.one_encoder else ""
        return f"{100 * interval.mean:.1f}{half}{mark}"
    value = None if trial is None else trial.metrics.get(f"test/accuracy_at_{choice}")
    return "" if value is None else f"({100 * value:.1f})"
