"""Options and words that several commands share."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from noisetune.cli import completion
from noisetune.files import check_folder
from noisetune.sweep.home import DEFAULT_MLRUNS, Home

if TYPE_CHECKING:
    from rich.table import Table

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
LedgerOption = Annotated[
    str | None,
    typer.Option(
        help="A database for the ledger: sqlite:///FILE, postgresql://USER@HOST/NAME; by default "
        "a file in the sweep's folder, which notes it for later."
    ),
]
RegisterOption = Annotated[
    bool,
    typer.Option(
        "--register", help="At the end, register the winners' networks as models in MLflow."
    ),
]
SystemOption = Annotated[
    bool,
    typer.Option(
        "--system-metrics",
        help="Tell MLflow what this machine's processors, memory, disk and GPUs do.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="A running Ray cluster, HOST:PORT or `auto`; by default this machine."),
]
AllowWriteOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow-write",
        help="A folder that the YAML file may have written to, beside its own, the mlruns folder "
        "and the cache; may be given again.",
    ),
]
NameArgument = Annotated[
    str, typer.Argument(help="The sweep's name.", autocompletion=completion.sweeps)
]
SweepFile = Annotated[
    Path,
    typer.Argument(
        help="The sweep (YAML), as those in sweeps/.", autocompletion=completion.yaml_files
    ),
]
MarkdownOption = Annotated[
    bool, typer.Option("--markdown", help="Print the tables as GitHub markdown.")
]
LatexOption = Annotated[
    bool, typer.Option("--latex", help="Print the tables as LaTeX (package booktabs).")
]
CsvOption = Annotated[
    Path | None,
    typer.Option(help="Write the tables to this file as CSV, too; without one print them so."),
]
STDOUT = Path("-")
SmokeOption = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Every condition in small, on the CPU in a minute or two, under NAME-smoke. "
        "Downloads nothing: what is not there is made up.",
    ),
]


def open_home(mlruns: Path, ledger: str | None = None) -> Home:
    """The mlruns folder; what writes there makes it. `ledger`: the database of a sweep's ledger."""
    return Home(check_folder(mlruns, "--mlruns"), ledger)


def read_first(
    file: Path, name: str | None, settings: Sequence[str], say: Callable[[str], None]
) -> None:
    """Read a sweep's file before what takes seconds to import, and say at once that work begins.

    Most mistakes are seen here: UserError.
    """
    from noisetune.yaml_files import read_yaml

    read_yaml(file)
    say(f"reading {file} ...")
    from noisetune.sweep.spec.config import read_sweep

    read_sweep(file, name, settings)


def print_table(table: "Table") -> None:
    """Print a table as wide as the terminal; no word of it is broken."""
    from noisetune.analysis.fitting import Fitted

    console.print(Fitted(table), crop=False)


def examples(*commands: str) -> str:
    """The end of a command's help: its examples, one a line."""
    return "\n\n".join(["Examples:", "\n".join(f"- `{command}`" for command in commands)])


class CsvCommand(TyperCommand):
    """A command whose `--csv` may stand without a file: then it is printed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_with_files(args)))


def _with_files(args: list[str]) -> Iterator[str]:
    for word, following in pairwise([*args, "--"]):
        yield word
        if word == "--csv" and following.startswith("--"):
            yield str(STDOUT)


def same_place(home: Home) -> str:
    """What a suggested command needs to look where this one did."""
    return "" if home.root == DEFAULT_MLRUNS else f" --mlruns {shlex.quote(str(home.root))}"
