"""`noisetune ui`: MLflow's pages on the tracking store."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlencode

import typer

from noisetune.cli import completion
from noisetune.cli.common import MlrunsOption, console, examples, open_home
from noisetune.errors import UserError
from noisetune.sweep.home import DEFAULT_MLRUNS, Home

HOST = "127.0.0.1"
OPENER = """
import socket, sys, time, webbrowser
port, address = sys.argv[1:]
for _ in range(240):
    try:
        socket.create_connection(("127.0.0.1", int(port)), 1).close()
    except OSError:
        time.sleep(0.5)
    else:
        webbrowser.open(address)
        break
"""
"""Opens an address when the server answers, in a process beside it: the server takes this one."""
ALLOWED_HOSTS = "127.0.0.1,127.0.0.1:*,localhost,localhost:*"
"""The names that a browser may ask for: MLflow's own list has `10.*`, which is anybody's domain."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune ui",
            "noisetune ui quickstart --port 5001",
        )
    )(ui)


def ui(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The sweep to show; by default the one that was begun last.",
            autocompletion=completion.sweeps,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, where there is a screen.")
    ] = True,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Open the runs of a sweep in MLflow, at http://127.0.0.1:PORT, until Ctrl-C."""
    from noisetune.tracking.database import database_file

    home = open_home(mlruns)
    file = database_file(home.tracking_uri)
    if file is None or not file.is_file():
        raise UserError(
            f"--mlruns: {home.root} holds no mlflow.db yet; start a sweep first, or name the "
            "folder of one"
        )
    _refuse_used(port)
    address = f"http://{HOST}:{port}{_page(home, name)}"
    console.print(f"MLflow on {address} (Ctrl-C ends it)", soft_wrap=True, highlight=False)
    if browser and _has_screen():
        subprocess.Popen([sys.executable, "-c", OPENER, str(port), address])
    # The job workers are of no use here and double the time to start.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST]
    # One reader: by default four load MLflow at once, which takes minutes on a small machine.
    command += ["--workers", "1", "--port", str(port), "--backend-store-uri", home.tracking_uri]
    command += ["--artifacts-destination", str(home.artifacts.resolve())]
    command += ["--allowed-hosts", os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS") or ALLOWED_HOSTS]
    sys.stdout.flush()
    # In place of this process, so that whatever ends it ends the server.
    os.execv(sys.executable, command)


def _page(home: Home, name: str | None) -> str:
    """The table of a sweep's runs, the best trial first; UserError where MLflow knows no sweep of
    the name."""
    from noisetune.sweep.study.lease import driver_of
    from noisetune.tracking.database import correct_addresses, experiments, objective_of

    file = home.root / "mlflow.db"
    known = experiments(file)
    if name is not None and name not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise UserError(
            f"MLflow knows no sweep {name!r} in {file}; there are: {names}. `noisetune sync NAME` "
            "tells it of one that is in this folder"
        )
    for sweep in known.keys() & set(home.names()):
        # A driver may see this folder by another path, and one may only be allowed to read it.
        if driver_of(home, sweep) is None:
            with suppress(sqlite3.OperationalError):
                correct_addresses(file, home.artifacts, sweep)
    number = known[name] if name is not None else next(iter(known.values()), None)
    if number is None:
        return ""
    asked = {"workflowType": "machine_learning"}
    if (objective := objective_of(file, number)) is not None:
        # Sorted by its time alone a sweep is a single row, and charts have nothing to show.
        metric, highest = objective
        asked |= {"orderByKey": f"metrics.`{metric}`", "orderByAsc": str(not highest).lower()}
    return f"/#/experiments/{number}/runs?{urlencode(asked)}"


def _has_screen() -> bool:
    """Whether a page can be opened for who typed this: not in a pipe, nor on a host far away."""
    shown = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    return sys.stdout.isatty() and (sys.platform in ("darwin", "win32") or bool(shown))


def _refuse_used(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UserError(
                f"--port: {port} is in use on {HOST}; end what uses it, or choose another port"
            ) from None
