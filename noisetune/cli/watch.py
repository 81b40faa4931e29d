"""`noisetune status --watch`: a sweep that runs somewhere, until it ends."""

import time
from typing import TYPE_CHECKING

import typer
from rich.live import Live

from noisetune.cli.common import console
from noisetune.cli.drawing import CALM_SECONDS, Drawing, calm_line, draws
from noisetune.sweep.study.lease import driver_of
from noisetune.sweep.watch.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from noisetune.sweep.home import Home

LOOK_SECONDS = 1.0


def watch_sweep(home: "Home", name: str) -> None:
    """Show what a sweep does until nobody drives it, or Ctrl-C.

    In place on a terminal, else by a line a minute.
    """
    try:
        _watch_in_place(home, name) if draws(console) else _watch_calmly(home, name)
    except KeyboardInterrupt:
        console.print(f"\nno longer watching; sweep {name} goes on", markup=False)
        raise typer.Exit from None


def _watch_in_place(home: "Home", name: str) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while driver_of(home, name) is not None:
            now = _now(home, name)
            live.update("starting" if now is None else Drawing(now), refresh=True)
            time.sleep(LOOK_SECONDS)


def _watch_calmly(home: "Home", name: str) -> None:
    told = time.monotonic() - CALM_SECONDS
    while driver_of(home, name) is not None:
        if time.monotonic() - told >= CALM_SECONDS:
            told = time.monotonic()
            now = _now(home, name)
            console.print("starting" if now is None else calm_line(now), soft_wrap=True)
        time.sleep(LOOK_SECONDS)


def _now(home: "Home", name: str) -> Snapshot | None:
    return read_snapshot(home.status_file(name))
