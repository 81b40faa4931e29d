"""Options and words that several commands share."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from noisetune.sweep.home import Home

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
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Put a value over the file's: `--set resources.gpu=0.25`."),
]
ShareOption = Annotated[
    bool,
    typer.Option(
        "--share/--no-share", help="Take finished stages from the store, and put new ones there."
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(help="The store of stages: a folder or a URL; by default MLRUNS/stages."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="A running Ray cluster, HOST:PORT or `auto`; by default this machine."),
]
SmokeOption = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Every condition in small, on the CPU in a minute or two, under NAME-smoke. "
        "Downloads nothing: what is not there is made up.",
    ),
]
DEFAULT_MLRUNS = Path("mlruns")


def open_home(mlruns: Path) -> "Home":
    """The mlruns folder; what writes there makes it."""
    from noisetune.sweep.home import Home

    return Home(mlruns)


def same_place(home: "Home") -> str:
    """What a suggested command needs to look where this one did."""
    return "" if home.root == DEFAULT_MLRUNS else f" --mlruns {shlex.quote(str(home.root))}"
