"""`noisetune reproduce`: the figures of a sweep beside those that the paper published."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisetune.cli.common import (
    STDOUT,
    CsvCommand,
    LatexOption,
    MarkdownOption,
    MlrunsOption,
    NameArgument,
    examples,
    open_home,
)
from noisetune.cli.results import Form
from noisetune.sweep.home import DEFAULT_MLRUNS

if TYPE_CHECKING:
    from noisetune.analysis.published_tables import PublishedTable
    from noisetune.analysis.reproduction import Reproduced
    from noisetune.sweep.study.ledger import Ledger
    from noisetune.sweep.winners import AnySweep


def register(app: typer.Typer) -> None:
    app.command(
        cls=CsvCommand,
        epilog=examples(
            "noisetune reproduce cifar10 paper-cifar10",
            "noisetune reproduce epochs plateau --markdown",
            "noisetune reproduce cifar10 paper-cifar10 --csv table.csv",
        ),
    )(reproduce)


def reproduce(
    table: Annotated[
        str,
        typer.Argument(help="cifar10, cifar100, cifar_n, epochs or long_finetune, of the paper."),
    ],
    name: NameArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
    markdown: MarkdownOption = False,
    latex: LatexOption = False,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write one line a figure to this file, too; without one print it."),
    ] = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Show a sweep's figures beside those published in arXiv 2511.20844.

    A figure is `not comparable` where its trials differ from the paper's recipe.
    """
    from noisetune.analysis.published_tables import read_published
    from noisetune.analysis.reproduction_tables import as_csv, reproduction_tables
    from noisetune.sweep.spec.config import NO_RESULTS
    from noisetune.sweep.study.recorded import recorded_sweep

    published, form = read_published(table), Form.of(markdown, latex, csv)
    prepared, ledger = recorded_sweep(open_home(mlruns), name)
    rows = _rows(published, prepared, ledger)
    form.write(as_csv(rows))
    if as_json:
        print(json.dumps(_as_json(published, name, rows), indent=1))
        return
    if prepared.config.smoke:
        form.note(f"{NO_RESULTS}\n")
    if csv != STDOUT:
        Form(form.name).show(reproduction_tables(published, rows))


def _rows(
    published: "PublishedTable", prepared: "AnySweep", ledger: "Ledger"
) -> "list[Reproduced]":
    from noisetune.analysis.reproduction import reproduce
    from noisetune.analysis.summaries import summarise
    from noisetune.errors import UserError

    objective = prepared.config.objective
    if objective.several:
        raise UserError(
            f"sweep {prepared.config.name!r} trades several goals off, so no trial of it stands "
            "for its condition; give a sweep with one objective"
        )
    summaries = summarise(ledger.records(prepared.cells), objective.maximize)
    return reproduce(published, summaries, papers_trial)


def papers_trial(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's whole configuration, as JSON, of the trial with these fields (path -> value)."""
    from noisetune.config import TrialConfig
    from noisetune.sweep.spec.overrides import override

    raw: dict[str, Any] = {"protocol": "paper"}
    for field, value in fields.items():
        raw = override(raw, field, value)
    return TrialConfig.parse(raw, "the paper's trial").to_json()


def _as_json(published: "PublishedTable", name: str, rows: "list[Reproduced]") -> dict[str, Any]:
    from noisetune.analysis.claims import held

    about = {key: getattr(published, key) for key in ("title", "source", "seeds")}
    return {
        "table": published.name,
        "sweep": name,
        "paper": {"arxiv": "2511.20844", **about},
        "figures": [asdict(row) for row in rows],
        "claims": [asdict(each) for each in held(published, rows)],
    }
