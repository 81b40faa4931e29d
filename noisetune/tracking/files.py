"""Artifacts of runs, and registered models made of them."""

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from noisetune.lines import Check, nothing
from noisetune.tracking.telling import RefusedError

BEST = "best"
"""The alias of the version that is to be used."""
TAKEN = "RESOURCE_ALREADY_EXISTS"


class Checked:
    """As what it is put before, a client of MLflow's, with a `check` before each call."""

    def __init__(self, client: Any, check: Check) -> None:
        self._client, self._check = client, check

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._check()
            return method(*arguments, **options)

        return call


class RunFiles:
    """Writes the artifacts of runs, where each has them now: MLflow's client remembers where it had
    them. `folder` is that of the sweep, in which the files lie that messages name. `places` says
    of the runs that are being told of where they are: each look costs as much as a write."""

    def __init__(
        self, client: MlflowClient, uri: str, folder: Path | None, check: Check = nothing
    ) -> None:
        self.client, self.uri, self.folder, self._check = client, uri, folder, check
        self.places: dict[str, str] = {}

    def write(self, run: str, path: str, text: str) -> None:
        """A text as the artifact `path`."""
        with self._at(run, path) as (repository, folder, name), TemporaryDirectory() as aside:
            file = Path(aside) / name
            file.write_text(text, encoding="utf-8")
            repository.log_artifact(str(file), folder or None)

    def copy(self, run: str, path: str, named: str) -> None:
        """A file of the sweep's folder as the artifact `path`, which ends in its name."""
        with self._at(run, path) as (repository, folder, _):
            repository.log_artifact(str(self._named(named)), folder or None)

    def register(self, run: str, path: str, named: str, model: str) -> None:
        """A folder of the sweep's as the artifact `path`, and a registered model made of it: a
        version for each run, of which the one that was told last has the alias."""
        with self._at(run, path) as (repository, *_):
            repository.log_artifacts(str(self._named(named)), path)
        with _taken_is_fine():
            self.client.create_registered_model(model)
        versions = self.client.search_model_versions(f"name='{model}'")
        version = next((each.version for each in versions if each.run_id == run), None)
        if version is None:
            made = self.client.create_model_version(model, f"runs:/{run}/{path}", run)
            version = made.version
        self.client.set_registered_model_alias(model, BEST, version)

    @contextmanager
    def _at(self, run: str, path: str) -> Iterator[tuple[Any, str, str]]:
        """The artifacts of a run, and folder and name of one."""
        if posixpath.normpath(path) != path or path.partition("/")[0] in ("", ".."):
            raise RefusedError("its path leaves the folder of artifacts")
        place = self.places.get(run) or self.client.get_run(run).info.artifact_uri
        repository = get_artifact_repository(place, tracking_uri=self.uri)
        yield Checked(repository, self._check), *posixpath.split(path)

    def _named(self, named: str) -> Path:
        """A file or folder of the sweep's."""
        inside = PurePosixPath(named)
        if self.folder is None or inside.is_absolute() or ".." in inside.parts:
            raise RefusedError("its file is not in the sweep's folder")
        file = self.folder / inside
        if not file.exists():
            raise RefusedError(f"{file} is not there any more")
        return file


@contextmanager
def _taken_is_fine() -> Iterator[None]:
    """A name that is there already is no error."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != TAKEN:
            raise
