"""`noisetune sync`: a sweep told whole to a tracking store."""

import typer

from noisetune.cli.common import (
    MlrunsOption,
    NameArgument,
    TrackingOption,
    console,
    examples,
)
from noisetune.sweep.home import DEFAULT_MLRUNS
from noisetune.texts import counted


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune sync quickstart",
            "noisetune sync quickstart --tracking-uri http://mlflow.lab:5000",
        )
    )(sync)


def sync(
    name: NameArgument,
    tracking_uri: TrackingOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Tell MLflow all of a sweep, from its ledger and outbox: a team's server after a sweep on a
    laptop, or a database that was lost. Twice is as good as once.

    Runs that were deleted in MLflow come back. Of a sweep that runs, only another store is told
    than the one that its driver tells.
    """
    from noisetune.sweep.home import Site
    from noisetune.sweep.sync import sync_sweep

    site = Site.of(mlruns, tracking_uri=tracking_uri)
    console.print(f"telling MLflow at {site.tracking_uri} of sweep {name} ...", soft_wrap=True)
    synced = sync_sweep(site, name)
    for each in synced.refused:
        console.print(f"not taken: {each}", soft_wrap=True, markup=False)
    console.print(f"it has {counted(synced.runs, 'run')} of sweep {name}")
    if synced.refused:
        raise typer.Exit(1)
