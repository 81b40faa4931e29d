"""`noisetune status` and `list`: where sweeps stand."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.cli.common import (
    CsvCommand,
    CsvOption,
    LatexOption,
    LedgerOption,
    MarkdownOption,
    MlrunsOption,
    NameArgument,
    examples,
    open_home,
)
from noisetune.cli.results import Epoch, Form, Wanted, show_results, show_trials, trials_json
from noisetune.sweep.home import DEFAULT_MLRUNS

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.sweep.overview import Overview


def register(app: typer.Typer) -> None:
    app.command(
        cls=CsvCommand,
        epilog=examples(
            "noisetune status quickstart",
            "noisetune status quickstart --detection --overfitting",
            "noisetune status quickstart --selection",
            "noisetune status quickstart --epoch all --latex",
            "noisetune status quickstart --trials --csv trials.csv",
            "noisetune status quickstart --watch",
            "noisetune status quickstart --json",
        ),
    )(status)
    app.command(
        "list",
        cls=CsvCommand,
        epilog=examples("noisetune list", "noisetune list --mlruns /shared/mlruns"),
    )(list_sweeps)


def status(
    name: NameArgument,
    epoch: Annotated[
        Epoch | None,
        typer.Option(
            help="Compare conditions at this choice of epoch, or at `all` of them; by default the "
            "one that the sweep asks about, which alone has verdicts."
        ),
    ] = None,
    selection: Annotated[
        bool,
        typer.Option(
            "--selection", help="The rules of choosing an epoch, and what each loses, too."
        ),
    ] = False,
    detection: Annotated[
        bool,
        typer.Option(
            "--detection", help="How well label errors are found, and by which detector, too."
        ),
    ] = False,
    overfitting: Annotated[
        bool, typer.Option("--overfitting", help="What the curves say of overfitting, too.")
    ] = False,
    telemetry: Annotated[
        bool, typer.Option("--telemetry", help="What was seen of the encoders, too.")
    ] = False,
    trials: Annotated[
        bool,
        typer.Option(
            "--trials",
            help="Every trial instead; as CSV or JSON with factors, parameters and metrics.",
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Show what runs until the sweep ends, from any terminal or host; then its tables.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that the tables say as JSON, for a program.")
    ] = False,
    markdown: MarkdownOption = False,
    latex: LatexOption = False,
    csv: CsvOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    ledger: LedgerOption = None,
) -> None:
    """Show where a sweep stands, or with `--watch` what it does until it ends."""
    from noisetune.sweep.study.recorded import begun_ledger, recorded_sweep

    home, form = open_home(mlruns, ledger), Form.of(markdown, latex, csv)
    if watch:
        from noisetune.cli.watch import watch_sweep

        begun_ledger(home, name)
        watch_sweep(home, name)
    if trials and as_json:
        return print(json.dumps(trials_json(home, name), indent=1))
    if trials:
        return show_trials(home, name, form)
    prepared, opened = recorded_sweep(home, name)
    if as_json:
        from noisetune.cli.standing import standing_json

        return print(json.dumps(standing_json(home, prepared, opened), indent=1))
    asked = {
        "selection": selection,
        "detection": detection,
        "overfitting": overfitting,
        "telemetry": telemetry,
    }
    groups = tuple(group for group, wanted in asked.items() if wanted)
    show_results(home, prepared, opened, Wanted(epoch, groups, form))


def list_sweeps(
    markdown: MarkdownOption = False,
    latex: LatexOption = False,
    csv: CsvOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """List the sweeps of an mlruns folder: their state, their trials, the best so far."""
    from noisetune.sweep.overview import overviews

    form, home = Form.of(markdown, latex, csv), open_home(mlruns)
    found = overviews(home)
    if found:
        form.show([_table(found)])
    else:
        form.note(f"no sweep in {home.root} yet; begin one with `noisetune sweep FILE`")


def _table(found: "list[Overview]") -> "Table":
    from noisetune.analysis.tables import plain_table

    table = plain_table("sweeps")
    table.caption = "trials: ended, of all that are to be; best: of all conditions, not compared"
    for heading in ("sweep", "state", "trials", "best so far"):
        table.add_column(heading)
    for each in found:
        trials = str(each.ended) + ("" if each.size is None else f" of {each.size}")
        best = "\n".join(f"{goal} {value:.4g} ({where})" for goal, value, where in each.best)
        table.add_row(each.name, each.state, trials, best or "-")
    return table
