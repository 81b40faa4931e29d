"""MLflow's database file, without MLflow: where it is, and where it says that artifacts are."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from noisetune.errors import UserError
from noisetune.tracking import SQLITE

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)
"""The columns that hold addresses of artifacts; all of these tables have `experiment_id`."""

WAIT = 30.0
"""Seconds to wait for another process that writes."""


def database_file(uri: str) -> Path | None:
    """The file that `uri` is the address of, None where it is a server's.

    UserError for one that means another file to MLflow than to who wrote it.
    """
    if not uri.startswith(SQLITE):
        return None
    path = uri.removeprefix(SQLITE)
    if "?" in path or unquote(path) != path:
        raise UserError(
            f"--mlruns or --tracking-uri: MLflow's database cannot be at {path}: in its path '?' "
            "and '%' before two digits mean something else to MLflow; rename that folder, or give "
            "another one"
        )
    return Path(path)


def correct_addresses(file: Path, artifacts: Path, sweep: str) -> None:
    """Let the experiment of a `sweep` have its artifacts where they are.

    MLflow notes their whole address when it is made, and an mlruns folder may be moved or copied:
    they moved where the database did, and that lies beside the folder of all artifacts.
    """
    if file.resolve().parent != artifacts.resolve().parent:
        return
    with closing(sqlite3.connect(file, timeout=WAIT)) as database, database:
        new = artifact_address(artifacts, sweep)
        found = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
        for experiment, old in database.execute(found, [sweep]).fetchall():
            if old != new and old.startswith("file:") and old.endswith(f"/artifacts/{sweep}"):
                for table, column in ADDRESSES:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE experiment_id = ? AND substr({column} || '/', 1, ?) = ? || '/'",
                        [new, len(old) + 1, experiment, len(old) + 1, old],
                    )


def artifact_address(artifacts: Path, sweep: str) -> str:
    """Where the artifacts of a sweep are, as MLflow writes it."""
    return (artifacts.resolve() / sweep).as_uri()


def experiments(file: Path) -> dict[str, str]:
    """The ids of the experiments by name, the one that was last begun first; none where the tables
    are not there yet. UserError where the file is no database."""
    query = (
        "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active' "
        "ORDER BY experiment_id = 0, creation_time DESC, experiment_id DESC"
    )
    try:
        with closing(_opened_to_read(file)) as database:
            return {name: str(number) for name, number in database.execute(query)}
    except sqlite3.OperationalError:
        return {}
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"--mlruns: {file} cannot be read ({error}); move it away, and `noisetune sync NAME` "
            "makes it anew from what the sweep has kept"
        ) from None


def objective_of(file: Path, experiment: str) -> tuple[str, bool] | None:
    """The metric that the sweep of an experiment searched by, and whether the highest is best;
    None where it had several, or nothing was told of it yet."""
    query = (
        "SELECT key, value FROM params JOIN runs USING (run_uuid) "
        "WHERE experiment_id = ? AND lifecycle_stage = 'active' AND key IN (?, ?) "
        "ORDER BY start_time"
    )
    metric, direction = "sweep.objective.metric", "sweep.objective.direction"
    with closing(_opened_to_read(file)) as database:
        known = dict(database.execute(query, [experiment, metric, direction]).fetchall())
    return (known[metric], known.get(direction) != "minimize") if metric in known else None


def _opened_to_read(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
