"""An MLflow server of a world, as its client sees it; it obeys what was observed of the real one.

The same value of a parameter twice passes and another one is refused; a row of a metric that is
told twice is there twice; what was deleted can be restored. A request may get lost, or its answer,
or arrive long after its sender gave it up.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from mlflow.entities import LifecycleStage, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from world import World

URI = "http://mlflow.sim"
TIMEOUT = 30.0
PARENT = "mlflow.parentRunId"
Answer = TypeVar("Answer")


@dataclass
class StoredRun:
    """A run as the server has it. `rows` are (metric, step, value), in the order of arrival."""

    id: str
    start: int
    status: str = "RUNNING"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[str, int, float]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


class MlflowServer:
    """What arrived; `sent` is called when a request is that changes something, and what it gives
    when that arrives."""

    def __init__(self, world: World, sent: Callable[[], Callable[[], None]]) -> None:
        self.world, self.sent = world, sent
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, StoredRun] = {}
        self._ids = itertools.count(1)
        self.network = world.process("network", world.host("mlflow"), mortal=False)

    def asked(self, name: str, work: Callable[[], Answer], changes: bool = True) -> Answer:
        """An answer over a network that has the world's faults."""
        world, faults = self.world, self.world.faults
        arrived = self.sent() if changes else lambda: None
        world.effect("mlflow", name)
        if world.happens(faults.lost):
            self._give_up(f"{name} is lost")
        if world.happens(faults.late):
            world.spawn(self.network, name, lambda: self._arrive_late(name, work))
            self._give_up(f"{name} is late")
        arrived()
        answer = work()
        if world.happens(faults.unanswered):
            self._give_up(f"the answer to {name} is lost")
        return answer

    def _arrive_late(self, name: str, work: Callable[[], Any]) -> None:
        self.world.pause(self.world.now + self.world.random.uniform(0.0, TIMEOUT))
        self.world.note(f"{name} arrives late")
        try:
            work()
        except MlflowException as error:
            self.world.note(f"{name} is refused: {error}")

    def _give_up(self, why: str) -> None:
        self.world.note(why)
        self.world.pause(self.world.now + TIMEOUT)
        raise MlflowException(f"no answer in {TIMEOUT:g} s")

    def run(self, id: str) -> StoredRun:
        if id not in self.runs:
            raise MlflowException(f"no run {id}", RESOURCE_DOES_NOT_EXIST)
        return self.runs[id]

    def create(self, start: int | None, tags: dict[str, str]) -> StoredRun:
        run = StoredRun(f"run-{next(self._ids)}", start or 0, tags=dict(tags))
        self.runs[run.id] = run
        return run

    def log(self, id: str, rows: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]) -> None:
        run = self.run(id)
        for param in params:
            if run.params.get(param.key, param.value) != param.value:
                raise MlflowException(f"{param.key} has a value", INVALID_PARAMETER_VALUE)
        run.rows += [(row.key, row.step, row.value) for row in rows]
        run.params |= {param.key: param.value for param in params}
        run.tags |= {tag.key: tag.value for tag in tags}


class Client:
    """`MlflowClient`, of a server in a world; each method is a request."""

    def __init__(self, server: MlflowServer) -> None:
        self._server, self._asked = server, server.asked
        self._look = partial(server.asked, changes=False)

    def get_experiment_by_name(self, name: str) -> Any:
        found = self._look("get experiment", lambda: self._server.experiments.get(name))
        active = LifecycleStage.ACTIVE
        return found and SimpleNamespace(experiment_id=found, lifecycle_stage=active)

    def create_experiment(self, name: str, *rest: Any) -> str:
        return self._asked(
            "create experiment", lambda: self._server.experiments.setdefault(name, "1")
        )

    def search_runs(self, experiments: Sequence[str], **_: Any) -> Any:
        class Page(list[Any]):
            token = None

        def found() -> Any:
            runs = sorted(self._server.runs.values(), key=lambda run: run.start)
            return Page(map(_shown, runs))

        return self._look("search runs", found)

    def create_run(self, experiment: str, start: int | None, tags: dict[str, str]) -> Any:
        work = lambda: _shown(self._server.create(start, tags))  # noqa: E731
        return self._asked(f"create run {tags.get('noisetune.trial', '')!r}", work)

    def get_run(self, run: str) -> Any:
        return self._look(f"get {run}", lambda: _shown(self._server.run(run)))

    def log_batch(
        self, run: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Any = ()
    ) -> None:
        if metrics or params or tags:
            self._asked(f"log {run}", lambda: self._server.log(run, metrics, params, tags))

    def log_inputs(self, run: str, datasets: Any) -> None:
        self._asked(f"log inputs {run}", lambda: self._server.run(run))

    def update_run(self, run: str, status: str | None = None, name: str | None = None) -> None:
        def work() -> None:
            self._server.run(run).status = status or self._server.run(run).status
            if name:
                self._server.run(run).tags["mlflow.runName"] = name

        self._asked(f"update {run}", work)

    def set_terminated(self, run: str, status: str, end_time: int | None = None) -> None:
        self._asked(f"end {run}", lambda: setattr(self._server.run(run), "status", status))

    def set_tag(self, run: str, name: str, value: str) -> None:
        self._asked(f"tag {run}", lambda: self._server.run(run).tags.update({name: value}))

    def delete_tag(self, run: str, name: str) -> None:
        def work() -> None:
            if self._server.run(run).tags.pop(name, None) is None:
                raise MlflowException(f"no tag {name}", RESOURCE_DOES_NOT_EXIST)

        self._asked(f"delete a tag of {run}", work)

    def get_metric_history(self, run: str, name: str) -> list[Any]:
        def work() -> list[Any]:
            rows = self._server.run(run).rows
            return [SimpleNamespace(key=key, step=step) for key, step, _ in rows if key == name]

        return self._look(f"history of {run}", work)

    def delete_run(self, run: str) -> None:
        self._asked(f"delete {run}", lambda: self._server.runs.pop(run))


class Artifacts:
    """A run's artifacts; each file is a request."""

    def __init__(self, server: MlflowServer, run: str) -> None:
        self._server, self._run = server, run

    def log_artifact(self, file: str, folder: str | None = None) -> None:
        text, name = Path(file).read_text(), Path(file).name
        path = f"{folder}/{name}" if folder else name
        work = lambda: self._server.run(self._run).files.update({path: text})  # noqa: E731
        self._server.asked(f"put {path} of {self._run}", work)


def _shown(run: StoredRun) -> Any:
    assert run.status in RunStatus._STRING_TO_STATUS
    last = {key: value for key, _, value in run.rows}
    data = SimpleNamespace(tags=dict(run.tags), params=dict(run.params), metrics=last)
    active = LifecycleStage.ACTIVE
    info = SimpleNamespace(run_id=run.id, artifact_uri=run.id, lifecycle_stage=active)
    return SimpleNamespace(info=info, data=data)
