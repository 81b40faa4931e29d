"""`noisetune plan`: what a sweep will do, before it does."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.caches import nothing_kept
from noisetune.cli.common import (
    AllowWriteOption,
    MlrunsOption,
    SetOption,
    SmokeOption,
    StoreOption,
    SweepFile,
    console,
    examples,
    print_table,
    read_first,
)
from noisetune.sweep.home import DEFAULT_MLRUNS
from noisetune.texts import counted, factors_text

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.sweep.foresight import Foresight
    from noisetune.sweep.plan import Plan

LONG_EPOCH_SECONDS = 300.0


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune plan sweeps/quickstart.yaml",
            "noisetune plan sweeps/quickstart.yaml --set replicates=20 --json",
        )
    )(plan)


def plan(
    file: SweepFile,
    settings: SetOption = None,
    smoke: SmokeOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
    measure: Annotated[
        bool, typer.Option(help="Time a few batches of each stage on this machine.")
    ] = True,
    store: StoreOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    allow_write: AllowWriteOption = None,
) -> None:
    """Count trials and stage runs, with and without sharing, and estimate hours.

    It starts nothing, writes nothing and fetches nothing.
    """
    from noisetune.sweep.home import Site

    site = Site.of(mlruns, store, allow_write=allow_write or ())
    say = (lambda line: None) if as_json else partial(console.print, soft_wrap=True)
    read_first(file, None, settings or (), say)
    from noisetune.datasets import Datasets
    from noisetune.sweep.foresight import foresee
    from noisetune.sweep.plan import make_plan
    from noisetune.sweep.preflight import preflight
    from noisetune.sweep.resources.capacity import local_resources
    from noisetune.sweep.run import new_sweep
    from noisetune.sweep.spec.sweep import naming

    stored, datasets = site.stored, Datasets(fetch=False)
    with nothing_kept() as folder:
        small = folder / "smoke" if smoke else None
        prepared = new_sweep(file, None, None, settings or (), small, say, site)
        with naming(*prepared.sources):
            preflight(prepared, stored, datasets)
        made = make_plan(prepared, local_resources(), stored, measure, datasets)
        foreseen = foresee(prepared, site.home)
    if as_json:
        compared = None if foreseen is None else asdict(foreseen)
        print(json.dumps(made.to_json() | {"comparisons": compared}, indent=1))
        return
    _show(made)
    if foreseen is not None:
        for line in _foreseen(foreseen):
            console.print(line, highlight=False, soft_wrap=True)


def _show(plan: "Plan") -> None:
    from noisetune.analysis.tables import plain_table

    console.print(
        f"{plan.sweep}: {counted(plan.conditions, 'condition')}, {_trials(plan)}, "
        f"{plan.slots} at once",
        soft_wrap=True,
    )
    assumed = "" if plan.exact else " (where nothing is pruned and first trials win)"
    table = plain_table(f"stage runs{assumed}")
    for heading in ("stage", "runs, each trial for itself", "runs, shared", "in the store"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for heading in ("epochs, each for itself", "epochs, shared"):
        table.add_column(heading, justify="right")
    for stage, count in plan.stages.items():
        stored = "unknown" if count.stored is None else count.stored
        numbers = (count.runs_unshared, count.runs, stored)
        table.add_row(stage, *map(str, numbers), str(count.epochs_unshared), str(count.epochs))
    print_table(table)
    if plan.unseen:
        console.print(
            f"not here: {', '.join(plan.unseen)}. A plan fetches nothing: what the store has of "
            "that is not known",
            soft_wrap=True,
        )
    if plan.hours is not None:
        console.print(f"time: {_span(plan.hours)} (measured on a few batches, on this machine)")
    if plan.gpu_hours is not None and plan.gpu_hours[1] > 0:
        console.print(f"GPU time: {_span(plan.gpu_hours)}")
    if plan.longest_epoch is not None and plan.longest_epoch[1] > LONG_EPOCH_SECONDS:
        stage, seconds = plan.longest_epoch
        console.print(
            f"warning: an epoch of {stage} takes about {seconds / 60:.0f} minutes on this machine: "
            "stages are kept at the ends of epochs, so a host that is taken away loses up to that; "
            "run it on hosts that stay, or on faster ones",
            soft_wrap=True,
        )
    console.print(f"disk: {plan.disk_bytes / 1e6:,.0f} MB in the store")
    if plan.resolution:
        console.print()
        print_table(_resolution_table(plan))


def _trials(plan: "Plan") -> str:
    fewest = f"{plan.fewest_replicates} to " if plan.fewest_replicates < plan.replicates else ""
    searched = counted(plan.search_trials, "search trial")
    if plan.trials_each is None:
        return f"{searched} and {fewest}{counted(plan.replicates, 'replicate')}"
    searches = counted(plan.replicates, "search", "searches")
    return f"{fewest}{searches} of at most {counted(plan.trials_each, 'trial')} ({searched})"


def _foreseen(seen: "Foresight") -> "Iterator[str]":
    """Which differences the planned replicates establish, and what they cannot."""
    spread = f"spread of a paired difference: {seen.spread.points:.1f} points, {seen.spread.source}"
    start = f"{counted(seen.pairs, 'comparison')}, {counted(seen.replicates, 'replicate')} each"
    if seen.smallest is None:
        more = f"; 5 points take {seen.for_half}" if seen.for_half else ""
        yield f"{start}: too few to establish any difference{more} ({spread})"
    else:
        more = f", {seen.smallest / 2:.1f} points take {seen.for_half}" if seen.for_half else ""
        yield (
            f"{start} establish a difference of {seen.smallest:.1f} points with a chance of 80 %"
            f"{more} ({spread})"
        )
    if seen.unreachable:
        yield (
            f"warning: replicates.until: equal within {seen.margin:g} points is out of reach of "
            f"{counted(seen.replicates, 'replicate')}: that takes a spread of "
            f"{seen.equal_up_to:.1f} points or less; raise until.difference or at_most"
        )


def _resolution_table(plan: "Plan") -> "Table":
    """What its noisy labels tell apart, in points of clean accuracy."""
    from noisetune.analysis.tables import plain_table, points_text
    from noisetune.sweep.resolution import ASSUMED

    table = plain_table("selection resolution, in points of clean accuracy")
    table.caption = (
        "one standard error of the noisy accuracy over its slope, at the noisy accuracy "
        f"that a clean one of {100 * ASSUMED:g} % shows; winners within it are called a tie"
    )
    table.add_column("data and noise")
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
