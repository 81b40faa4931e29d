"""`noisetune doctor`: whether this machine has what a sweep needs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisetune.cli.common import (
    AddressOption,
    MlrunsOption,
    StoreOption,
    TrackingOption,
    examples,
    print_table,
)
from noisetune.sweep.home import DEFAULT_MLRUNS

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.sweep.findings import Finding


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune doctor",
            "noisetune doctor --tracking-uri http://mlflow.lab:5000 --store s3://bucket/stages",
            "noisetune doctor --address HEAD:6379 --json",
            "noisetune doctor sweeps/quickstart.yaml --address HEAD:6379 --store /shared/stages",
        )
    )(doctor)


def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(help="A sweep, whose data each host of the cluster is to have."),
    ] = None,
    address: AddressOption = None,
    store: StoreOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Look at Python, torch, devices, Ray, tracking, store, disk, memory and the cache of data.

    It writes nothing, and starts no Ray. With `--address` it asks each host of that cluster for its
    versions, token, GPUs, shared memory and clock, and whether it sees what this one puts into the
    store, for a moment. Exit code 1 where there is a fault.
    """
    from noisetune.sweep.doctor import examine
    from noisetune.sweep.home import Site

    site = Site.of(mlruns, store, address=address, tracking_uri=tracking_uri)
    findings = examine(site, [] if file is None else _data_sets(file))
    if as_json:
        print(json.dumps([asdict(each) for each in findings], indent=1))
    else:
        print_table(_table(findings))
    if any(each.state == "fault" for each in findings):
        raise typer.Exit(1)


def _data_sets(file: Path) -> list[tuple[str, Any]]:
    """A trial of each data set of a sweep: its name, and its configuration as JSON."""
    from noisetune.sweep.run import new_sweep

    trials = [
        condition.trial(next(iter(condition.corners()))) for condition in new_sweep(file).conditions
    ]
    return list({trial.data: (trial.data.name, trial.to_json()) for trial in trials}.values())


def _table(findings: "list[Finding]") -> "Table":
    from noisetune.analysis.tables import plain_table

    faults = sum(each.state == "fault" for each in findings)
    table = plain_table("no fault" if not faults else f"faults: {faults}")
    for heading in ("what", "state", "found; what to do"):
        table.add_column(heading)
    for each in findings:
        table.add_row(each.what, each.state, "; ".join(filter(None, (each.text, each.remedy))))
    return table
