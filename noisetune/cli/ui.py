"""`noisetune ui`: MLflow's pages on the tracking store."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from noisetune.cli.common import DEFAULT_MLRUNS, MlrunsOption, console, open_home
from noisetune.errors import UserError


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `noisetune ui --port 5001`")(ui)


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
    console.print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)")
    # The job workers are of no use here and double the time to start.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", home.tracking_uri]
    command += ["--artifacts-destination", str(home.artifacts.resolve())]
    server = subprocess.Popen(command, env=environment)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return
    if code:
        raise UserError(f"the server ended with code {code}; is port {port} in use? try another")
