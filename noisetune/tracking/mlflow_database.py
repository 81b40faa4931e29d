"""MLflow's database file, made whole."""

import os
from contextlib import suppress

from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from noisetune.tracking import SQLITE
from noisetune.tracking.database import database_file


def make_database(uri: str) -> None:
    """Make the SQLite file at `uri` where there is none: aside, and whole before it has its name.

    Tables that a killed process had half made could never be opened again.
    """
    file = database_file(uri)
    if file is None or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{os.getpid()}.new")
    aside.unlink(missing_ok=True)
    made = SqlAlchemyStore(f"{SQLITE}{aside}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    made.engine.dispose()
    # Another sweep may have made it in the meantime: the first one stays.
    with suppress(FileExistsError):
        os.link(aside, file)
    aside.unlink()
