"""`noisetune bench`: measurements that compare two ways within one run."""

import json
from typing import Annotated, Any

import typer

from noisetune.cli.common import console

bench = typer.Typer(no_args_is_help=True, help="Measure noisetune on this machine.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


def register(app: typer.Typer) -> None:
    app.add_typer(bench, name="bench")


@bench.command(epilog="Example: `noisetune bench sharing --json`")
def sharing(
    epochs: Annotated[str, typer.Option(help="Pre-training epochs to cross.")] = "10,25,50",
    width: Annotated[int, typer.Option(min=4, help="The network's width.")] = 16,
    as_json: JsonOption = False,
) -> None:
    """Run a paper-shaped sweep on digits with shared stages, and with each trial for itself."""
    from noisetune.bench.sharing import measure_sharing
    from noisetune.errors import UserError

    try:
        wanted = tuple(int(part) for part in epochs.split(","))
    except ValueError:
        raise UserError(f"--epochs {epochs}: write whole numbers, as in 10,25,50") from None
    _show(measure_sharing(wanted, width), as_json)


@bench.command(epilog="Example: `noisetune bench engine --json`")
def engine(
    few: Annotated[int, typer.Option(min=10, help="Trials of the smaller sweep.")] = 100,
    many: Annotated[int, typer.Option(min=10, help="Trials of the larger sweep.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Run trials that do nothing, with TPE, pruner, ledger and MLflow on: what the engine costs."""
    from noisetune.bench.engine import measure_engine

    _show(measure_engine(few, many), as_json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        if isinstance(value, list):
            shown = ", ".join(f"{part:.4g}" for part in value)
        console.print(f"{name:<24} {shown}")
