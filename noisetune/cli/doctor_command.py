"""`noisetune doctor`: whether this machine has what a sweep needs."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

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

    from noisetune.sweep.doctor import Finding


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune doctor",
            "noisetune doctor --tracking-uri http://mlflow.lab:5000 --store s3://bucket/stages",
            "noisetune doctor --address HEAD:6379 --json",
        )
    )(doctor)


def doctor(
    address: AddressOption = None,
    store: StoreOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Look at Python, torch, devices, Ray, tracking, store, disk, memory and the cache of data.

    It writes nothing, and starts no Ray; with `--address` it asks that cluster. Exit code 1 where
    there is a fault.
    """
    from noisetune.sweep.doctor import examine
    from noisetune.sweep.home import Site

    findings = examine(Site.of(mlruns, store, address=address, tracking_uri=tracking_uri))
    if as_json:
        print(json.dumps([asdict(each) for each in findings], indent=1))
    else:
        print_table(_table(findings))
    if any(each.state == "fault" for each in findings):
        raise typer.Exit(1)


def _table(findings: "list[Finding]") -> "Table":
    from noisetune.analysis.tables import plain_table

    faults = sum(each.state == "fault" for each in findings)
    table = plain_table("no fault" if not faults else f"faults: {faults}")
    for heading in ("what", "state", "found; what to do"):
        table.add_column(heading)
    for each in findings:
        table.add_row(each.what, each.state, "; ".join(filter(None, (each.text, each.remedy))))
    return table
