"""Whether MLflow answers, asked without a word of any sweep: nothing is made there."""

import os
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.error import HTTPError

from noisetune.answers import answering, check_database, is_database, without_password
from noisetune.errors import UserError
from noisetune.files import check_room
from noisetune.texts import counted
from noisetune.tracking.database import database_file, experiments

SECONDS = 5.0
REFUSED = (401, 403)
"""What a server answers whom it does not know, or who may not."""
REMEDY = "start that server, or give no --tracking-uri to use the SQLite file in the mlruns folder"


def look_at(uri: str) -> str:
    """What is at `uri`, in words; UserError where it does not answer or cannot be used."""
    if (file := database_file(uri)) is not None:
        return _file(file)
    if is_database(uri):
        check_database("--tracking-uri", uri, REMEDY)
        return f"{without_password(uri)} answers"
    if uri.startswith(("http://", "https://")):
        return _server(uri.rstrip("/"))
    return f"{without_password(uri)}: MLflow itself opens it"


def _file(file: Path) -> str:
    if not file.exists():
        check_room(file.parent, "--mlruns")
        return f"{file} is made by the first sweep"
    return f"{file} holds {counted(len(experiments(file)), 'experiment')}"


def _server(uri: str) -> str:
    with answering(f"--tracking-uri: MLflow at {uri}", REMEDY):
        try:
            version = _asked(f"{uri}/version")
            _let_in(uri)
        except HTTPError as error:
            raise UserError(
                f"--tracking-uri: {without_password(uri)} answers HTTP {error.code}; see that "
                "it is an MLflow server, and where it asks who you are set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            ) from None
    return f"MLflow {version} answers at {without_password(uri)}"


def _let_in(uri: str) -> None:
    """HTTPError where the server does not know who this is; its version it tells to all."""
    try:
        _asked(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1")
    except HTTPError as error:
        if error.code in REFUSED:
            raise


def _asked(url: str) -> str:
    """The first 100 bytes of an answer, asked as MLflow itself asks."""
    request = urllib.request.Request(url)
    name, password = (
        os.environ.get(f"MLFLOW_TRACKING_{part}") for part in ("USERNAME", "PASSWORD")
    )
    if name and password:
        known = b64encode(f"{name}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {known}")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return str(answer.read(100).decode(errors="replace").strip())
