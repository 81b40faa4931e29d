"""Messages of a sweep as MLflow experiment, runs and metrics; saying one twice changes nothing."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

# A request that MLflow's client sends again by itself could make a second run where the first
# one did arrive. The outbox is told again instead, after a look at what is there.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
# A sweep tells nobody but its own tracking store.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Nor does it draw over the terminal.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow.entities import LifecycleStage, Metric, Run, ViewType
from mlflow.tracking import MlflowClient

from noisetune.errors import UserError
from noisetune.lines import Check, nothing
from noisetune.texts import shortened
from noisetune.tracking.database import artifact_address, correct_addresses, database_file
from noisetune.tracking.entities import (
    dataset_inputs,
    metric_rows,
    milliseconds,
    params,
    safe_parameters,
    safe_tags,
    tags,
)
from noisetune.tracking.files import Checked, RunFiles
from noisetune.tracking.messages import Message, config_text, missing_fields
from noisetune.tracking.mlflow_database import make_database
from noisetune.tracking.names import NAME_LENGTH, TAG_LENGTH
from noisetune.tracking.refusals import is_refusal
from noisetune.tracking.telling import Receiver, RefusedError

PARENT, RUN_NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"
SWEEP, TRIAL, IDENTITY = "noisetune.sweep", "noisetune.trial", "noisetune.identity"
STATE, REASON = "noisetune.state", "noisetune.reason"
KIND, CONDITION = "noisetune.kind", "noisetune.condition"
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "interrupted": "KILLED"}
KEPT = "noisetune.told"
EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's pages otherwise take what they do not know for evaluations of language models."""


class MlflowRuns(Receiver):
    """One experiment per sweep name, one parent run per sweep, one child run per trial.

    A run that is there is taken up, known by its tags (`identity` is not that of an earlier sweep
    of the name), and so is a metric's row, known by name and step: a message may come twice, as
    it does after a crash, and a trial that is taken up again may tell an epoch again. One that was
    deleted in MLflow is restored when there is something to tell of it. Raises RefusedError, or
    whatever MLflow raises; then make a new one of these. `folder` is the sweep's own, with the
    files that messages name. `check` is called before each request, and raises where none may be
    made.
    """

    def __init__(
        self,
        uri: str,
        sweep: str,
        artifacts: Path | None,
        identity: str = "",
        folder: Path | None = None,
        check: Check = nothing,
    ) -> None:
        make_database(uri)
        self.client = cast(MlflowClient, Checked(MlflowClient(uri), check))
        self.sweep, self.identity = sweep, identity
        self.files = RunFiles(self.client, uri, folder, check)
        self.experiment = self._open_experiment(uri, artifacts)
        self.kept = ""
        self._deleted: set[str] = set()
        self._runs = self._existing_runs()
        self._rows: dict[str, set[tuple[str, int]]] = {}

    def apply(self, messages: Sequence[Message]) -> None:
        """Tell MLflow, in this order; the points of a run that stand together go in one request."""
        try:
            self._apply(messages)
        except Exception as error:
            # A part may have arrived.
            self._rows.clear()
            if isinstance(error, RefusedError) or not is_refusal(error):
                raise
            raise RefusedError(" ".join(str(error).split())[:300]) from error

    def keep(self, note: str) -> None:
        """Keep a note on the sweep's run, so that it goes where that goes."""
        if self._has(""):
            self.client.set_tag(self._run(""), KEPT, note)

    def _apply(self, messages: Sequence[Message]) -> None:
        rows: dict[str, list[Metric]] = defaultdict(list)
        for message in messages:
            if missing := missing_fields(message):
                raise RefusedError(f"it has no {', '.join(missing)}")
            if message["kind"] == "point":
                rows[message["trial"]] += metric_rows(message)
            elif message["kind"] == "result":
                # Rows wait for the end, which comes next, and go with it.
                self._keep_result(message)
            else:
                self._tell(message, rows.pop(message.get("trial", ""), []))
        for trial, left in rows.items():
            self._log(trial, left)

    def _tell(self, message: Message, rows: list[Metric]) -> None:
        trial = message.get("trial", "")
        match message["kind"]:
            case "sweep" if message["state"] == "running":
                self._begin("", message, rows)
            case "sweep":
                self._end("", message, rows)
            case "started":
                self._begin(trial, message, rows)
            case "ended":
                self._end(trial, message, rows + metric_rows(message))
            case "tags":
                self._log(trial, rows, message["tags"])
            case "system":
                self._log("", rows + metric_rows(message))
            case "artifact" | "file" | "model":
                self._log(trial, rows)
                self._attach(self._run(trial), message)

    def _attach(self, run: str, message: Message) -> None:
        path = message["path"]
        match message["kind"]:
            case "artifact":
                self.files.write(run, path, message["text"])
            case "file":
                self.files.copy(run, path, message["file"])
            case "model":
                self.files.register(run, path, message["folder"], message["name"])

    def _begin(self, trial: str, message: Message, rows: list[Metric]) -> None:
        """Make the run, or take up the one that is there, and give it all that it begins with."""
        given = safe_parameters(message["parameters"])
        if not self._has(trial):
            run = self._make(trial, message)
            self.client.log_batch(run, params=params(given))
        else:
            self._take_up(trial, message, given)
        if data := message.get("datasets"):
            self.client.log_inputs(self._run(trial), dataset_inputs(data))
        if rows:
            self._log(trial, rows)
        if "config" in message:
            # Last: where no artifact can be written, the rest is told.
            self.files.write(self._run(trial), "config.yaml", config_text(message["config"]))

    def _take_up(self, trial: str, message: Message, given: Mapping[str, str]) -> None:
        """Give a run that is there what it has not; MLflow keeps the first value of a parameter:
        the one of an extended sweep is a tag."""
        run, new = self._run(trial), _tags_of(message)
        # Another one than it had, where that was deleted for good.
        new |= {PARENT: self._run("")} if trial else {}
        there = self.client.get_run(run).data
        self.client.update_run(run, "RUNNING", message.get("name"))
        if REASON in there.tags:
            self.client.delete_tag(run, REASON)
        for name, value in given.items():
            if there.params.get(name, value) != value:
                new[f"noisetune.now.{name}"] = value
        lacking = {name: value for name, value in given.items() if name not in there.params}
        self.client.log_batch(run, params=params(lacking), tags=tags(new))

    def _end(self, trial: str, message: Message, rows: list[Metric]) -> None:
        reason = {REASON: message["reason"]} if message.get("reason") else {}
        self._log(trial, rows, _tags_of(message) | reason)
        run, status = self._run(trial), STATUS[message["state"]]
        self.client.set_terminated(run, status, end_time=milliseconds(message["made"]))
        self._rows.pop(run, None)
        # Earlier versions told a result with the end.
        if message.get("result") is not None:
            self._keep_result(message)
        self.files.places.pop(run, None)

    def _keep_result(self, message: Message) -> None:
        text = json.dumps(message["result"], indent=1)
        self.files.write(self._run(message["trial"]), "result.json", text)

    def _log(
        self, trial: str, rows: Iterable[Metric], given: Mapping[str, str] | None = None
    ) -> None:
        run = self._run(trial)
        new: dict[tuple[str, int], Metric] = {}
        for row in rows:
            if (row.key, row.step) not in self._rows_of(run):
                new.setdefault((row.key, row.step), row)
        self.client.log_batch(run, metrics=list(new.values()), tags=tags(given or {}))
        if new:
            self._rows[run] |= new.keys()

    def _has(self, trial: str) -> bool:
        return shortened(trial, TAG_LENGTH) in self._runs

    def _run(self, trial: str) -> str:
        """The run of a trial that began, restored where it was deleted."""
        if not self._has(trial):
            if self.kept:
                # What a run begins with was told before, and went with it.
                self.keep("")
                raise LookupError(f"the run of {trial!r} is gone: all is told again")
            return self._make(trial)
        run = self._runs[shortened(trial, TAG_LENGTH)]
        if run in self._deleted:
            self.client.restore_run(run)
            self._deleted.discard(run)
        return run

    def _make(self, trial: str, message: Message | None = None) -> str:
        """A new run, as it begins; without a message nothing is known of it but its name."""
        told = message or {}
        name = told.get("name") or trial or self.sweep
        known = {SWEEP: self.sweep, RUN_NAME: shortened(name, NAME_LENGTH)}
        known |= {IDENTITY: self.identity} if self.identity else {}
        if trial:
            known |= {TRIAL: shortened(trial, TAG_LENGTH), PARENT: self._run("")}
        if message is not None:
            known |= safe_tags(_tags_of(message))
        start = milliseconds(told["made"]) if told else None
        info = self.client.create_run(self.experiment, start, known).info
        run = info.run_id
        self.files.places[run] = info.artifact_uri
        self._runs[shortened(trial, TAG_LENGTH)], self._rows[run] = run, set()
        return run

    def _rows_of(self, run: str) -> set[tuple[str, int]]:
        """Name and step of each row of a run; read back where another process may have written."""
        if run not in self._rows:
            names = self.client.get_run(run).data.metrics
            histories = (self.client.get_metric_history(run, name) for name in names)
            self._rows[run] = {(row.key, row.step) for rows in histories for row in rows}
        return self._rows[run]

    def _open_experiment(self, uri: str, artifacts: Path | None) -> str:
        found = self.client.get_experiment_by_name(self.sweep)
        if found is None:
            # A server decides for itself where artifacts go; a database file cannot.
            location = None if artifacts is None else artifact_address(artifacts, self.sweep)
            return self.client.create_experiment(self.sweep, location, EXPERIMENT)
        if found.lifecycle_stage != LifecycleStage.ACTIVE:
            raise UserError(
                f"MLflow: the experiment {self.sweep!r} was deleted there; restore it with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or give the "
                "sweep another name with --name"
            )
        if artifacts is not None and (file := database_file(uri)) is not None:
            correct_addresses(file, artifacts, self.sweep)
        return found.experiment_id

    def _existing_runs(self) -> dict[str, str]:
        """Run ids by trial, the parent's under ''; of two the one that was not deleted.

        Once for all: one search per trial is dear.
        """
        active: dict[str, str] = {}
        deleted: dict[str, str] = {}
        for run in self._pages():
            tags = run.data.tags
            if tags.get(SWEEP) == self.sweep and tags.get(IDENTITY, "") == self.identity:
                gone = run.info.lifecycle_stage == LifecycleStage.DELETED
                trial = tags.get(TRIAL, "")
                (deleted if gone else active).setdefault(trial, run.info.run_id)
                if not trial and active.get("", run.info.run_id) == run.info.run_id:
                    self.kept = tags.get(KEPT, "")
        self._deleted = set(deleted.values())
        return deleted | active

    def _pages(self) -> Iterator[Run]:
        """All runs of the experiment, the first begun first."""
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                run_view_type=ViewType.ALL,
                order_by=["attributes.start_time"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return


def _tags_of(message: Message) -> dict[str, str]:
    """The tags of a sweep or trial that begins or ends."""
    state = "running" if message["kind"] == "started" else message["state"]
    new = {STATE: state} | message.get("tags", {})
    if message["kind"] == "started":
        new |= {KIND: message["trial_kind"], CONDITION: message["condition"]}
    return new | ({NOTE: message["note"]} if message.get("note") else {})
