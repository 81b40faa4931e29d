"""Messages of a sweep as MLflow experiment, runs and metrics; saying one twice changes nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from noisetune.tracking.outbox import Message

PARENT = "mlflow.parentRunId"
SWEEP, TRIAL, STATE = "noisetune.sweep", "noisetune.trial", "noisetune.state"
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "interrupted": "KILLED"}
BATCH = 900


class MlflowRuns:
    """One experiment per sweep name, one parent run per sweep, one child run per trial.

    A run is looked up by its tag before it is made, a metric row that is there is left alone: so
    a message may come twice, as it does after a crash.
    """

    def __init__(self, uri: str, sweep: str, artifacts: Path | None) -> None:
        self.client = MlflowClient(uri)
        self.sweep = sweep
        found = self.client.get_experiment_by_name(sweep)
        self.experiment = found.experiment_id if found else self._new_experiment(artifacts)
        self._runs: dict[str, str] = {}
        self._rows: dict[str, set[tuple[str, int, int]]] = {}

    def _new_experiment(self, artifacts: Path | None) -> str:
        # A server decides for itself where artifacts go; a database file cannot.
        location = None if artifacts is None else (artifacts.resolve() / self.sweep).as_uri()
        return self.client.create_experiment(self.sweep, artifact_location=location)

    def apply(self, messages: Sequence[Message]) -> None:
        """Tell MLflow; rows of one run that stand together go in one request."""
        rows: dict[str, list[Metric]] = {}
        for message in messages:
            kind, trial = message["kind"], message.get("trial", "")
            if kind == "point":
                rows.setdefault(trial, []).extend(metric_rows(message))
                continue
            if kind == "started":
                self._start(message)
                continue
            self._log(trial, rows.pop(trial, []))
            if kind == "ended":
                self._end(message)
            elif kind == "sweep":
                self._parent(message)
            elif kind == "artifact":
                run = self._run(trial)
                self.client.log_text(run, message["text"], message["path"])
            elif kind == "tags":
                self._tag(self._run(trial), message["tags"])
        for trial, left in rows.items():
            self._log(trial, left)

    def _parent(self, message: Message) -> None:
        run = self._run("", tags={"mlflow.runName": self.sweep})
        if message["state"] == "running":
            self.client.update_run(run, "RUNNING")
            self._params(run, message["parameters"])
        else:
            status = STATUS[message["state"]]
            self.client.set_terminated(run, status, end_time=_milliseconds(message["made"]))
        self._tag(run, {STATE: message["state"]})

    def _start(self, message: Message) -> None:
        tags = {
            "mlflow.runName": message["trial"],
            PARENT: self._run(""),
            "noisetune.condition": message["condition"],
            "noisetune.kind": message["trial_kind"],
        }
        run = self._run(message["trial"], tags, _milliseconds(message["made"]))
        self.client.update_run(run, "RUNNING")
        self._tag(run, {STATE: "running"})
        self._params(run, message["parameters"])

    def _end(self, message: Message) -> None:
        run = self._run(message["trial"])
        tags = {STATE: message["state"]}
        if message["reason"]:
            tags["noisetune.reason"] = message["reason"][:5000]
        self._log(message["trial"], metric_rows(message))
        self._tag(run, tags)
        if message["result"] is not None:
            self.client.log_text(run, json.dumps(message["result"], indent=1), "result.json")
        status = STATUS[message["state"]]
        self.client.set_terminated(run, status, end_time=_milliseconds(message["made"]))

    def _run(self, trial: str, tags: dict[str, str] | None = None, start: int | None = None) -> str:
        if trial not in self._runs:
            self._runs[trial] = self._find(trial) or self._create(trial, tags or {}, start)
        return self._runs[trial]

    def _find(self, trial: str) -> str | None:
        quoted = trial.replace("'", "\\'")
        query = f"tags.`{SWEEP}` = '{self.sweep}' and tags.`{TRIAL}` = '{quoted}'"
        found = self.client.search_runs([self.experiment], query, max_results=1)
        if not found:
            return None
        run = found[0]
        # What a crashed writer may have written already: told apart by name, step and time.
        self._rows[run.info.run_id] = {
            (row.key, row.step, row.timestamp)
            for name in run.data.metrics
            for row in self.client.get_metric_history(run.info.run_id, name)
        }
        return run.info.run_id

    def _create(self, trial: str, tags: dict[str, str], start: int | None) -> str:
        named = {SWEEP: self.sweep, TRIAL: trial} | tags
        return self.client.create_run(self.experiment, start_time=start, tags=named).info.run_id

    def _params(self, run: str, parameters: dict[str, Any]) -> None:
        values = [Param(name, str(value)[:6000]) for name, value in parameters.items()]
        for first in range(0, len(values), 100):
            self.client.log_batch(run, params=values[first : first + 100])

    def _tag(self, run: str, tags: dict[str, str]) -> None:
        self.client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])

    def _log(self, trial: str, rows: list[Metric]) -> None:
        if not rows:
            return
        run = self._run(trial)
        there = self._rows.get(run, set())
        new = [row for row in rows if (row.key, row.step, row.timestamp) not in there]
        for first in range(0, len(new), BATCH):
            self.client.log_batch(run, metrics=new[first : first + BATCH])


def metric_rows(message: Message) -> list[Metric]:
    """The rows of a point or of a trial's end; what is undefined has none."""
    time = _milliseconds(message["made"])
    return [
        Metric(name, float(value), time, message.get("step", 0))
        for name, value in message["values"].items()
        if value is not None
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
