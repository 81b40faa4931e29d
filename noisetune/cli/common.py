"""Options and words that several commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from noisetune.errors import UserError

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
ShareOption = Annotated[
    bool,
    typer.Option(
        "--share/--no-share", help="Take finished stages from the store, and put new ones there."
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="A running Ray cluster, HOST:PORT or `auto`; by default this machine."),
]
DEFAULT_MLRUNS = Path("mlruns")


@contextmanager
def naming(files: str) -> Iterator[None]:
    """A user's mistake that comes to light inside names the files that it is in."""
    try:
        yield
    except UserError as error:
        if str(error).startswith("--"):
            raise
        raise UserError(f"{files}: {error}") from None


def open_home(mlruns: Path) -> "Home":
    """The mlruns folder; what writes there makes it."""
    from noisetune.sweep.launch import Home

    return Home(mlruns)
