"""`noisetune ui`: MLflow's pages on the tracking store."""

import os
import socket
import sys
from typing import Annotated

import typer

from noisetune.cli.common import MlrunsOption, console, examples, open_home
from noisetune.errors import UserError
from noisetune.sweep.home import DEFAULT_MLRUNS

HOST = "127.0.0.1"
ALLOWED_HOSTS = "127.0.0.1,127.0.0.1:*,localhost,localhost:*"
"""The names that a browser may ask for: MLflow's own list has `10.*`, which is anybody's domain."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune ui --port 5001",
        )
    )(ui)


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Open MLflow on the tracking store, at http://127.0.0.1:PORT, until Ctrl-C."""
    home = open_home(mlruns)
    if not (home.root / "mlflow.db").is_file():
        raise UserError(
            f"--mlruns: {home.root} holds no mlflow.db yet; start a sweep first, or name the "
            "folder of one"
        )
    _refuse_used(port)
    console.print(f"MLflow on http://{HOST}:{port} (Ctrl-C ends it)")
    # The job workers are of no use here and double the time to start.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST]
    command += ["--port", str(port), "--backend-store-uri", home.tracking_uri]
    command += ["--artifacts-destination", str(home.artifacts.resolve())]
    command += ["--allowed-hosts", os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS") or ALLOWED_HOSTS]
    sys.stdout.flush()
    # In place of this process, so that whatever ends it ends the server.
    os.execv(sys.executable, command)


def _refuse_used(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UserError(
                f"--port: {port} is in use on {HOST}; end what uses it, or choose another port"
            ) from None
