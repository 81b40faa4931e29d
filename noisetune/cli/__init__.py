"""What a person types."""

import logging
import sys

import typer

from noisetune.errors import UserError

app = typer.Typer(
    name="noisetune",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Sweeps for learning with noisy labels: pre-train on the images alone, fine-tune on the "
    "noisy labels, find the label errors. Start with `noisetune sweep sweeps/quickstart.yaml`.",
)


def register() -> None:
    """Give `app` its commands."""
    from noisetune.cli import bench, best, plan, reproduce, run, store, sweep, ui

    for commands in (plan, sweep, run, best, reproduce, store, bench, ui):
        commands.register(app)


def main() -> None:
    """Run the command line; a user's mistake is one message and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Images of a folder are decoded once, and that may take a while.
    logging.getLogger("noisetune.data").setLevel(logging.INFO)
    register()
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped.", file=sys.stderr)
        sys.exit(130)
