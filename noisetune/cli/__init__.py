"""What a person types."""

import signal
import sys
from typing import Annotated

import typer

from noisetune import __version__
from noisetune.cli.volume import begin_logging, trace
from noisetune.errors import MachineError, UserError

app = typer.Typer(
    name="noisetune",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Sweeps for learning with noisy labels: pre-train on the images alone, fine-tune on the "
    "noisy labels, find the label errors. Start with `noisetune sweep sweeps/quickstart.yaml`.",
)


def show_version(wanted: bool) -> None:
    """Print the version, and end."""
    if wanted:
        print(f"noisetune {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def register() -> None:
    """Give `app` its commands."""
    from noisetune.cli import (
        bench_commands,
        best_command,
        clean_command,
        doctor_command,
        labels_command,
        plan_command,
        report_command,
        reproduce_command,
        run_command,
        status_commands,
        store_commands,
        sweep_commands,
        sync_command,
        ui_command,
    )

    for commands in (
        plan_command,
        sweep_commands,
        run_command,
        clean_command,
        status_commands,
        best_command,
        report_command,
        reproduce_command,
        store_commands,
        bench_commands,
        sync_command,
        ui_command,
        doctor_command,
        labels_command,
    ):
        commands.register(app)


def main() -> None:
    """Run the command line; a user's mistake is one message and exit code 2."""
    begin_logging()
    register()
    try:
        app()
    except (UserError, MachineError) as error:
        trace()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UserError) else 1)
    except KeyboardInterrupt as stop:
        print("\nstopped.", file=sys.stderr)
        sys.exit(128 + getattr(stop, "signal", signal.SIGINT))
