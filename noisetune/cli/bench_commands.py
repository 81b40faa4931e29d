"""`noisetune bench`: measurements that compare two ways within one run."""

import json
from typing import Annotated, Any

import typer

from noisetune.cli.common import examples, print_table

bench = typer.Typer(no_args_is_help=True, help="Measure noisetune on this machine.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


def register(app: typer.Typer) -> None:
    app.add_typer(bench, name="bench")


@bench.command(
    epilog=examples(
        "noisetune bench sharing --json",
    )
)
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


@bench.command(
    epilog=examples(
        "noisetune bench engine --json",
        "noisetune bench engine --many 10000 --conditions 100",
        "noisetune bench engine --many 10000 --pruner hyperband",
    )
)
def engine(
    few: Annotated[int, typer.Option(min=10, help="Trials of the smaller sweep.")] = 100,
    many: Annotated[int, typer.Option(min=10, help="Trials of the larger sweep.")] = 1000,
    conditions: Annotated[int, typer.Option(min=1, help="Over which they are spread.")] = 1,
    sampler: Annotated[str, typer.Option(help="As a sweep's file names it.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="As a sweep's file names it.")] = "median",
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow's database or server; by default a file.")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="The ledger's database; by default a file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run trials that do nothing, with searcher, pruner, ledger and MLflow on: what the engine
    costs."""
    from noisetune.bench.engine import Setting, measure_engine

    setting = Setting(conditions, sampler, pruner, tracking_uri, ledger)
    _show(measure_engine(few, many, setting), as_json)


@bench.command(
    epilog=examples(
        "noisetune bench features --json",
        "noisetune bench features --trials 100 --rows 10000 --width 384",
    )
)
def features(
    trials: Annotated[int, typer.Option(min=1, help="Trials of the sweep.")] = 1000,
    rows: Annotated[int, typer.Option(min=100, help="Training images.")] = 50_000,
    width: Annotated[int, typer.Option(min=1, help="Values of a feature.")] = 512,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a trial.")] = 10,
    batch_size: Annotated[int, typer.Option(min=3, help="Images a step.")] = 1024,
    as_json: JsonOption = False,
) -> None:
    """Train heads on made-up features, with detection, store, ledger and MLflow on."""
    from noisetune.bench.features import measure_features

    _show(measure_features(trials, rows, width, epochs, batch_size), as_json)


@bench.command(
    epilog=examples(
        "noisetune bench train",
        "noisetune bench train --device cuda --json",
        "noisetune bench train --threads 2 --width 16 --side-by-side",
    )
)
def train(
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto (measured).")] = "auto",
    compile: Annotated[str, typer.Option(help="true, false or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="By default every CPU.")] = None,
    width: Annotated[int, typer.Option(min=4, help="The network's width.")] = 64,
    size: Annotated[int, typer.Option(min=4, help="Height and width of an image.")] = 32,
    batch_size: Annotated[int, typer.Option(min=4, help="Images a step.")] = 256,
    batches: Annotated[
        int | None, typer.Option(min=1, help="Batches a round; by default 2, on a GPU 100.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of all parts in turn.")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="No round begins after these.")] = 150.0,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Also two trials at once, on half the threads.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train by our stages, by lightly's example and with the model alone, in turns."""
    from noisetune.bench.public import public_name
    from noisetune.bench.side_by_side import measure_side_by_side
    from noisetune.bench.train import Setting, measure_train
    from noisetune.config import TrialConfig
    from noisetune.yaml_files import parse_yaml

    asked = {"device": device, "precision": precision, "compile": parse_yaml(compile, "--compile")}
    runtime = TrialConfig.parse(
        {"runtime": asked | ({} if threads is None else {"threads": threads})}, "bench train"
    ).runtime
    if batches is None:
        batches = 100 if runtime.resolve().device == "cuda" else 2
    setting = Setting(runtime, width, size, batch_size, batches)
    figures = {"public": public_name(), **measure_train(setting, rounds, seconds)}
    if side_by_side:
        figures |= measure_side_by_side(setting, figures["threads"], min(rounds, 3), seconds / 15)
    _show(figures, as_json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    from noisetune.analysis.tables import plain_table

    if as_json:
        print(json.dumps(figures, indent=1))
        return
    table = plain_table("measured on this machine")
    table.add_column("figure")
    table.add_column("value")
    for name, value in figures.items():
        table.add_row(name, _shown(value))
    print_table(table)


def _shown(value: Any) -> str:
    """A figure, or several, with four digits."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{part} {_shown(number)}" for part, number in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
