"""Options and words that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from noisetune.sweep.launch import Home

console = Console()

MlrunsOption = Annotated[
    Path,
    typer.Option(
        "--mlruns",
        envvar="NOISETUNE_MLRUNS",
        help="The folder of ledgers, stages, MLflow's database and artifacts.",
    ),
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        help="An MLflow server; by default the SQLite file in the mlruns folder.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="A running Ray cluster, HOST:PORT or `auto`; by default this machine."),
]
DEFAULT_MLRUNS = Path("mlruns")


def open_home(mlruns: Path) -> "Home":
    """The mlruns folder, made where it is missing."""
    from noisetune.sweep.launch import Home

    mlruns.mkdir(parents=True, exist_ok=True)
    return Home(mlruns)
