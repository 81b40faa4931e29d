"""What came of a sweep, as tables on a terminal or as markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from noisetune.cli.common import console

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.analysis.front import FrontPoint
    from noisetune.records import TrialRecord
    from noisetune.sweep.study.ledger import Ledger
    from noisetune.sweep.winners import AnySweep

Epoch = Literal["last", "noisy_best", "oracle", "all"]


@dataclass(frozen=True)
class Wanted:
    """Which tables: comparisons at which choice of epoch, and which groups of metrics."""

    epoch: Epoch = "noisy_best"
    groups: tuple[str, ...] = ()
    markdown: bool = False


def show_results(prepared: "AnySweep", ledger: "Ledger", wanted: Wanted = Wanted()) -> None:
    """Print the tables of a sweep; UserError where it has none such as `wanted`."""
    from noisetune.sweep.spec.config import NO_RESULTS

    records = ledger.records(prepared.cells)
    if prepared.config.smoke:
        console.print(NO_RESULTS, end="\n\n")
    if not records:
        console.print("no trial has started yet")
        return
    for table in _tables(prepared, records, wanted):
        show_table(table, wanted.markdown)


def show_table(table: "Table", markdown: bool) -> None:
    """Print a table, or its markdown."""
    from noisetune.analysis.markdown import as_markdown

    if markdown:
        print(as_markdown(table))
    else:
        console.print(table)


def _tables(
    prepared: "AnySweep", records: "list[TrialRecord]", wanted: Wanted
) -> "Iterator[Table]":
    """The conditions, the paired comparisons where there are replicates, the groups of metrics;
    with several goals the Pareto fronts."""
    from noisetune.analysis.comparisons import comparisons_table
    from noisetune.analysis.metric_tables import metric_tables
    from noisetune.analysis.summaries import CHOICES, compare, summarise
    from noisetune.analysis.tables import conditions_table
    from noisetune.sweep.winners import front_of

    objective = prepared.config.objective
    if objective.several:
        _refuse_groups(prepared, wanted)
        yield front_shown(prepared, front_of(prepared, records))
        return
    summaries = summarise(records, objective.maximize)
    yield conditions_table(summaries, objective.metric, objective.oracle)
    for choice in CHOICES if wanted.epoch == "all" else (wanted.epoch,):
        comparisons = comparisons_table(summaries, compare(summaries, choice), choice)
        if comparisons.row_count:
            yield comparisons
    for group in wanted.groups:
        tables = list(metric_tables(summaries, group))
        if not tables:
            console.print(f"no trial of this sweep has figures of {group}")
        yield from tables


def front_shown(prepared: "AnySweep", front: "list[FrontPoint]") -> "Table":
    from noisetune.analysis.front import front_table

    goals = prepared.config.objective.goals
    oracle = any(goal.oracle for goal in goals)
    return front_table(front, [goal.metric for goal in goals], oracle)


def _refuse_groups(prepared: "AnySweep", wanted: Wanted) -> None:
    from noisetune.errors import UserError

    if wanted.groups:
        raise UserError(
            f"--{wanted.groups[0]}: sweep {prepared.config.name!r} trades several goals off, so no "
            "trial of it stands for its condition; see the trials of its front with "
            f"`noisetune best {prepared.config.name} --json`"
        )
