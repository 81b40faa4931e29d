"""`noisetune report` and `compare`: what came of sweeps, as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.cli import completion
from noisetune.cli.common import (
    LedgerOption,
    MlrunsOption,
    NameArgument,
    console,
    examples,
    open_home,
    print_table,
)
from noisetune.sweep.home import DEFAULT_MLRUNS
from noisetune.texts import STEM_LENGTH, shortened

if TYPE_CHECKING:
    from noisetune.sweep.reports import Made

COMPARED = "comparisons"
"""The folder, in mlruns, of the pages of comparisons."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune report quickstart",
            "noisetune report quickstart --watch",
            "noisetune report quickstart --out quickstart-report",
        )
    )(report)
    app.command(
        epilog=examples(
            "noisetune compare quickstart mine",
            "noisetune compare quickstart mine --out compared",
        )
    )(compare)


def report(
    name: NameArgument,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Make it anew while the sweep runs; the page loads itself anew until it has "
            "ended.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write it into; by default in the sweep's own."),
    ] = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    ledger: LedgerOption = None,
) -> None:
    """Write what came of a sweep, finished or not, as one page that needs no network, with its
    figures as PNG and SVG and its tables as CSV, Markdown and LaTeX.
    """
    from noisetune.sweep.study.recorded import begun_ledger

    home = open_home(mlruns, ledger)
    begun_ledger(home, name)
    from noisetune.sweep.reports import make_report, watched_reports

    if not watch:
        return _say(make_report(home, name, out))
    for made in watched_reports(home, name, out):
        _say(made)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(help="The sweeps, two or more.", autocompletion=completion.sweeps),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write the page into; by default in MLRUNS/comparisons/."),
    ] = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    ledger: LedgerOption = None,
) -> None:
    """Compare sweeps in the conditions that all of them have, paired where replicates have the
    same seed: the tables here, and a page.
    """
    from noisetune.analysis.comparisons import comparisons_table
    from noisetune.sweep.reports import compare_sweeps, write_comparison

    home = open_home(mlruns, ledger)
    view = compare_sweeps(home, names)
    for notice in view.notices:
        console.print(notice, markup=False, highlight=False)
    print_table(comparisons_table(view.summaries, view.question, None, view.kept))
    page = write_comparison(
        view, out or home.root / COMPARED / shortened("+".join(names), STEM_LENGTH)
    )
    console.print(str(page), highlight=False, soft_wrap=True)


def _say(made: "Made") -> None:
    size = f"{made.page.stat().st_size / 1e6:.1f} MB"
    standing = f"{made.view.state}, {made.view.ended} trials ended"
    console.print(f"{made.page}  ({standing}; {made.seconds:.1f} s, {size})", soft_wrap=True,
                  highlight=False)  # fmt: skip
