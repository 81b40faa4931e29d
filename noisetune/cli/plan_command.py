"""`noisetune plan`: what a sweep will do, before it does."""

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.cli.common import (
    DEFAULT_MLRUNS,
    MlrunsOption,
    SetOption,
    SmokeOption,
    StoreOption,
    console,
)
from noisetune.texts import factors_text

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.sweep.plan import Plan


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `noisetune plan sweeps/quickstart.yaml`, "
        "`noisetune plan sweeps/quickstart.yaml --set replicates=20 --json`"
    )(plan)


def plan(
    file: Annotated[Path, typer.Argument(help="The sweep (YAML), as those in sweeps/.")],
    settings: SetOption = None,
    smoke: SmokeOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
    measure: Annotated[
        bool, typer.Option(help="Time a few batches of each stage on this machine.")
    ] = True,
    store: StoreOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Count trials and stage runs, with and without sharing, and estimate hours. Starts nothing."""
    from noisetune.datasets import Datasets
    from noisetune.sweep.home import Site
    from noisetune.sweep.plan import make_plan
    from noisetune.sweep.preflight import preflight
    from noisetune.sweep.resources.capacity import local_resources
    from noisetune.sweep.run import new_sweep
    from noisetune.sweep.spec.sweep import naming

    stored, datasets = Site.of(mlruns, store).stored, Datasets()
    say = (lambda line: None) if as_json else partial(console.print, soft_wrap=True)
    with TemporaryDirectory() as folder:
        small = Path(folder) if smoke else None
        prepared = new_sweep(file, None, None, settings or (), small, say)
        with naming(*prepared.sources):
            preflight(prepared, stored, datasets)
        made = make_plan(prepared, local_resources(), stored, measure, datasets)
    if as_json:
        print(json.dumps(made.to_json(), indent=1))
        return
    _show(made)


def _show(plan: "Plan") -> None:
    from noisetune.analysis.tables import plain_table

    trials = f"{plan.search_trials} search trials and {plan.replicates} replicates"
    console.print(
        f"{plan.sweep}: {plan.conditions} conditions, {trials}, {plan.slots} at once",
        soft_wrap=True,
    )
    assumed = "" if plan.exact else " (where nothing is pruned and first trials win)"
    table = plain_table(f"stage runs{assumed}")
    for heading in ("stage", "runs, each trial for itself", "runs, shared", "in the store"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for heading in ("epochs, each for itself", "epochs, shared"):
        table.add_column(heading, justify="right")
    for stage, count in plan.stages.items():
        numbers = (count.runs_unshared, count.runs, count.stored)
        table.add_row(stage, *map(str, numbers), str(count.epochs_unshared), str(count.epochs))
    console.print(table)
    if plan.hours is not None:
        console.print(f"time: {_span(plan.hours)} (measured on a few batches, on this machine)")
    if plan.gpu_hours is not None and plan.gpu_hours[1] > 0:
        console.print(f"GPU time: {_span(plan.gpu_hours)}")
    console.print(f"disk: {plan.disk_bytes / 1e6:,.0f} MB in the store")
    if plan.resolution:
        console.print(_resolution_table(plan))


def _resolution_table(plan: "Plan") -> "Table":
    """What its noisy labels tell apart, in points of clean accuracy."""
    from noisetune.analysis.tables import plain_table, points_text
    from noisetune.sweep.resolution import ASSUMED

    table = plain_table("selection resolution, in points of clean accuracy")
    table.caption = (
        "one standard error of the noisy accuracy over its slope, at the noisy accuracy "
        f"that a clean one of {100 * ASSUMED:g} % shows; winners within it are called a tie"
    )
    table.add_column("data and noise", overflow="fold")
    for heading in ("noisy labels", "slope", "one trial", "mean of replicates"):
        table.add_column(heading, justify="right")
    for each in plan.resolution:
        cells = (f"{each.slope:.2f}", points_text(each.one_trial), points_text(each.replicates))
        table.add_row(factors_text(each.group), str(each.labels), *cells)
    return table


def _span(hours: tuple[float, float]) -> str:
    low, high = hours
    if high < 1:
        return f"{60 * low:.1f} to {60 * high:.1f} minutes"
    return f"{low:.1f} to {high:.1f} hours"
