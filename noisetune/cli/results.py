"""What came of a sweep, as tables on a terminal or as markdown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from noisetune.cli.common import STDOUT, console, print_table
from noisetune.errors import UserError
from noisetune.files import check_output, write_output
from noisetune.selection import CHOICES, Choice
from noisetune.texts import counted

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.analysis.front import FrontPoint
    from noisetune.analysis.summaries import ConditionSummary
    from noisetune.predictions import PredictionsFolder
    from noisetune.records import TrialRecord
    from noisetune.sweep.home import Home
    from noisetune.sweep.study.ledger import Ledger
    from noisetune.sweep.winners import AnySweep

Epoch = Literal[Choice, "all"]


@dataclass(frozen=True)
class Form:
    """How tables are printed, and the file that they are written to as CSV (`-`: printed so)."""

    name: Literal["markdown", "latex"] | None = None
    csv: Path | None = None

    @classmethod
    def of(cls, markdown: bool, latex: bool, csv: Path | None) -> "Form":
        """What the options say; UserError where two of them are to be printed."""
        printed = {"--markdown": markdown, "--latex": latex, "--csv": csv == STDOUT}
        if sum(printed.values()) > 1:
            names = " and ".join(name for name, wanted in printed.items() if wanted)
            raise UserError(f"{names}: one form can be printed at a time; take one out")
        if csv is not None and csv != STDOUT:
            check_output(csv, "--csv")
        return cls("markdown" if markdown else "latex" if latex else None, csv)

    def show(self, tables: "Iterable[Table]") -> None:
        """Print the tables, and write them as CSV where that is asked for, a line between two."""
        tables = list(tables)
        if self.csv != STDOUT:
            for number, table in enumerate(tables):
                self._print(table, apart=number > 0)
        if self.csv is not None:
            from noisetune.analysis.rendering import as_csv

            self.write("\n".join(map(as_csv, tables)))

    def write(self, text: str) -> None:
        """Write CSV to its file; print it where there is none."""
        if self.csv == STDOUT:
            print(text, end="")
        elif self.csv is not None:
            write_output(self.csv, text, "--csv")

    def note(self, line: str) -> None:
        """Print a line beside the tables; beside CSV it would be in the way."""
        if self.csv != STDOUT:
            console.print(line, soft_wrap=True, markup=False)

    def _print(self, table: "Table", apart: bool) -> None:
        from noisetune.analysis.rendering import FORMATS

        if self.name is not None:
            return print(FORMATS[self.name](table))
        if apart:
            console.print()
        print_table(table)


@dataclass(frozen=True)
class Wanted:
    """Which tables: comparisons at which choice of epoch, by default the one that the sweep asks
    about, and which groups of metrics."""

    epoch: Epoch | None = None
    groups: tuple[str, ...] = ()
    form: Form = Form()


def show_results(
    home: "Home", prepared: "AnySweep", ledger: "Ledger", wanted: Wanted = Wanted()
) -> None:
    """Print the tables of a sweep; UserError where it has none such as `wanted`."""
    from noisetune.sweep.spec.config import NO_RESULTS
    from noisetune.sweep.study.recorded import standing_records

    records = standing_records(home, ledger, prepared.cells)
    if prepared.config.smoke:
        wanted.form.note(f"{NO_RESULTS}\n")
    if not records:
        wanted.form.note("no trial has started yet")
        return
    predictions = home.predictions(prepared.config.name)
    wanted.form.show(_tables(prepared, ledger, records, predictions, wanted))


def trials_json(home: "Home", name: str) -> list[dict[str, Any]]:
    """Every trial of a sweep, with its factors, parameters and metrics, as JSON has them."""
    from noisetune.cli.standing import plain
    from noisetune.sweep.results import SweepResults

    frame = SweepResults(name, home).trials()
    rows: list[dict[str, Any]] = plain(frame.astype(object).to_dict("records"))
    return rows


def show_trials(home: "Home", name: str, form: Form) -> None:
    """Print every trial of a sweep; as CSV with factors, parameters and metrics in columns."""
    from noisetune.sweep.results import SweepResults

    frame = SweepResults(name, home).trials()
    if form.csv is not None:
        form.write(frame.to_csv(index=False))
    if form.csv != STDOUT:
        Form(form.name).show([_trials_table(frame)])


def _trials_table(frame: Any) -> "Table":
    """What a trial is and how it ended; its metrics would not fit beside that."""
    from noisetune.analysis.tables import plain_table, shown

    table = plain_table(counted(len(frame), "trial"))
    table.caption = "with --csv: factors, parameters and metrics, too"
    columns = [column for column in ("trial", "state", "objective", "reason") if column in frame]
    for column in columns:
        table.add_column(column)
    for row in frame[columns].astype(object).itertuples(index=False):
        table.add_row(*("" if value is None or value != value else shown(value) for value in row))
    return table


def _tables(
    prepared: "AnySweep",
    ledger: "Ledger",
    records: "list[TrialRecord]",
    predictions: "PredictionsFolder",
    wanted: Wanted,
) -> "Iterator[Table]":
    """The conditions, the paired comparisons where there are replicates, the groups of metrics;
    with several goals the Pareto fronts."""
    from noisetune.analysis.summaries import summarise
    from noisetune.analysis.tables import conditions_table
    from noisetune.sweep.winners import front_of

    objective = prepared.config.objective
    if objective.several:
        _refuse_groups(prepared, wanted)
        yield front_shown(prepared, front_of(prepared, records))
        return
    summaries = summarise(records, objective.maximize)
    adaptive = prepared.config.growing is not None
    yield conditions_table(summaries, objective.metric, objective.oracle, adaptive)
    yield from _compared(prepared, ledger, summaries, predictions, wanted.epoch)
    yield from _shared(prepared, ledger, records)
    for group in wanted.groups:
        tables = list(_group_tables(summaries, group, adaptive))
        if not tables:
            wanted.form.note(f"no trial of this sweep has figures of {group}")
        yield from tables


def _group_tables(
    summaries: "list[ConditionSummary]", group: str, adaptive: bool
) -> "Iterator[Table]":
    """Those of a group of metrics; of detection first the detectors side by side."""
    from noisetune.analysis.detectors import detector_tables
    from noisetune.analysis.metric_tables import metric_tables
    from noisetune.analysis.selection_rules import selection_table

    if group == "selection":
        table = selection_table(summaries, adaptive)
        yield from [] if table is None else [table]
        return
    if group == "detection":
        yield from detector_tables(summaries, adaptive)
    yield from metric_tables(summaries, group, adaptive)


def _compared(
    prepared: "AnySweep",
    ledger: "Ledger",
    summaries: "list[ConditionSummary]",
    predictions: "PredictionsFolder",
    epoch: Epoch | None,
) -> "Iterator[Table]":
    """The differences at the epochs that are wanted, and what is gained over all groups."""
    from noisetune.analysis.comparisons import comparisons_table
    from noisetune.analysis.gains import gains_table
    from noisetune.sweep.study.comparing import question_of

    question = question_of(ledger, prepared.config, prepared.cells)
    choices = CHOICES if epoch == "all" else (epoch or question.epoch,)
    for choice in choices:
        table = comparisons_table(summaries, question, choice, predictions)
        if table.row_count:
            yield table
    gains = gains_table(summaries, question)
    if gains is not None:
        yield gains


def _shared(
    prepared: "AnySweep", ledger: "Ledger", records: "list[TrialRecord]"
) -> "Iterator[Table]":
    """What one setting over several conditions comes to, of a sweep that chooses one."""
    from noisetune.analysis.shared_tables import shared_tables
    from noisetune.sweep.study.comparing import question_of
    from noisetune.sweep.winners import shared_choice

    both = shared_choice(prepared, records)
    if both is not None:
        yield from shared_tables(both, question_of(ledger, prepared.config, prepared.cells))


def front_shown(prepared: "AnySweep", front: "list[FrontPoint]") -> "Table":
    from noisetune.analysis.front import front_table

    goals = prepared.config.objective.goals
    oracle = any(goal.oracle for goal in goals)
    return front_table(front, [goal.metric for goal in goals], oracle)


def _refuse_groups(prepared: "AnySweep", wanted: Wanted) -> None:
    if wanted.groups:
        raise UserError(
            f"--{wanted.groups[0]}: sweep {prepared.config.name!r} trades several goals off, so no "
            "trial of it stands for its condition; see the trials of its front with "
            f"`noisetune best {prepared.config.name} --json`"
        )
