"""How much a command says: `--quiet` and `--verbose`."""

import logging
import sys
from typing import Annotated, Literal

import typer

from noisetune.errors import UserError

Volume = Literal["quiet", "normal", "verbose"]
OURS = "noisetune"
CHATTY = "noisetune.data"
"""Images of a folder are decoded once, and that may take a while: it says how far it is."""
TRACEBACK = "\nTraceback "

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors and the last results alone.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print how each trial ended, and tracebacks, too.")
]


class TerminalLog(logging.Handler):
    """Warnings and errors for the terminal, by its `volume`; a traceback where that is verbose."""

    volume: Volume = "normal"

    def emit(self, record: logging.LogRecord) -> None:
        """Whatever standard error is by then: a live table puts its own in that place."""
        if self._wanted(record):
            print(self.format(record), file=sys.stderr)

    def _wanted(self, record: logging.LogRecord) -> bool:
        if self.volume == "verbose" and record.name.startswith(OURS):
            return True
        least = logging.ERROR if self.volume == "quiet" else logging.WARNING
        told = self.volume == "normal" and record.name.startswith(CHATTY)
        return record.levelno >= (logging.INFO if told else least)

    def format(self, record: logging.LogRecord) -> str:
        head = f"{record.levelname} {record.name}: "
        if self.volume == "verbose":
            return head + super().format(record)
        what, _, trace = record.getMessage().partition(TRACEBACK)
        return head + (f"{what}: {trace.strip().splitlines()[-1].strip()}" if trace else what)


TERMINAL = TerminalLog()


def begin_logging() -> None:
    """Warnings go to the terminal; where a program that calls this has its own way, that stays."""
    logging.basicConfig(level=logging.WARNING, handlers=[TERMINAL])
    logging.getLogger(CHATTY).setLevel(logging.INFO)
    set_volume(False, False)


def set_volume(quiet: bool, verbose: bool) -> Volume:
    """How much the command says from here on; UserError for both at once."""
    if quiet and verbose:
        raise UserError("--quiet and --verbose: give one of the two")
    TERMINAL.volume = "quiet" if quiet else "verbose" if verbose else "normal"
    logging.getLogger(OURS).setLevel(logging.DEBUG if verbose else logging.NOTSET)
    return TERMINAL.volume


def trace() -> None:
    """Print the traceback of the error that is handled, where the command is verbose."""
    logging.getLogger(OURS).debug("where the error arose", exc_info=True)
