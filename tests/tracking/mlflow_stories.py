"""Stories for MLflow to be told, and a look at what it holds afterwards."""

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mlflow.tracking import MlflowClient

from noisetune.records import TrialRecord
from noisetune.tracking.messages import Message
from noisetune.tracking.mlflow_runs import MlflowRuns


class Place(NamedTuple):
    uri: str
    artifacts: Path | None

    def runs(self, sweep: str) -> MlflowRuns:
        return MlflowRuns(self.uri, sweep, self.artifacts)


class Seen(NamedTuple):
    """What MLflow holds of a run, without its random id."""

    status: str
    start: int
    end: int | None
    params: dict[str, str]
    tags: dict[str, str]
    rows: list[tuple[str, int, float, int]]
    result: bool


def look(place: Place, sweep: str) -> dict[str, Seen]:
    """Every run of a sweep by trial ('' is the parent): fails where a trial has two."""
    client = MlflowClient(place.uri)
    experiment = client.get_experiment_by_name(sweep)
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    ids = {run.data.tags.get("noisetune.trial", ""): run.info.run_id for run in runs}
    assert len(ids) == len(runs), "two runs of one trial"
    found = {}
    for run in runs:
        tags = dict(run.data.tags)
        trial = tags.pop("noisetune.trial", "")
        tags.pop("noisetune.told", None)
        assert tags.pop("mlflow.parentRunId", None) == (ids[""] if trial else None)
        names = run.data.metrics
        histories = [client.get_metric_history(run.info.run_id, name) for name in names]
        rows = [(r.key, r.step, r.value, r.timestamp) for rows in histories for r in rows]
        result = any(file.path == "result.json" for file in client.list_artifacts(run.info.run_id))
        info = run.info
        found[trial] = Seen(
            info.status, info.start_time, info.end_time, run.data.params, tags, sorted(rows), result
        )
    return found


def artifacts(place: Place, sweep: str) -> dict[str, dict[str, str]]:
    """The artifacts of every run by trial, path and content, where MLflow says that they are."""
    client = MlflowClient(place.uri)
    experiment = client.get_experiment_by_name(sweep)
    assert experiment is not None
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        folder = Path(unquote(urlsplit(run.info.artifact_uri or "").path))
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        texts = {str(file.relative_to(folder)): file.read_text() for file in files}
        found[run.data.tags.get("noisetune.trial", "")] = texts
    return found


def begun(made: float = 1.0, **parameters: Any) -> Message:
    return {"kind": "sweep", "state": "running", "parameters": parameters, "made": made}


def started(trial: str, made: float = 2.0, **parameters: Any) -> Message:
    return {
        "kind": "started",
        "trial": trial,
        "condition": "noise.rate=0.4",
        "trial_kind": "search",
        "parameters": parameters,
        "made": made,
    }


def point(trial: str, step: int, made: float, **values: float | None) -> Message:
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return {"kind": "point", "trial": trial, "step": step, "values": named, "made": made}


def ended(trial: str, state: str, made: float, reason: str | None = None, **more: Any) -> Message:
    message = {"kind": "ended", "trial": trial, "state": state, "reason": reason, "made": made}
    return message | {"values": {}, "result": None} | more


DATA = {"name": "digits", "digest": "abc", "settings": {}, "profile": {}}

STORY = [
    begun(a=1, b="two"),
    started("t 0", 10.0, lr=0.5) | {"config": {"lr": 0.5}, "datasets": [DATA]},
    point("t 0", 1, 11.0, train__loss=0.9, val__accuracy=0.25),
    started("t 1", 11.5, lr=0.25),
    point("t 0", 2, 12.0, train__loss=0.8, val__accuracy=0.5),
    point("t 1", 1, 12.5, train__loss=2.0, val__accuracy=None),
    point("t 0", 0, 13.0, detect__f1=0.75),
    ended("t 1", "pruned", 14.0, "pruned by median"),
    {"kind": "result", "trial": "t 0", "result": {"x": 1}, "made": 15.0},
    ended("t 0", "complete", 15.0, values={"detect/f1": 0.75, "a_at_last": 0.5}),
    {"kind": "tags", "trial": "t 0", "tags": {"noisetune.best": "noise.rate=0.4"}, "made": 16.0},
    {"kind": "artifact", "trial": "", "path": "best/a.yaml", "text": "a: 1\n", "made": 16.0},
    {"kind": "sweep", "state": "complete", "parameters": {}, "made": 17.0},
]


TRIAL = TrialRecord(
    name="noise.rate=0.4 trial 0",
    condition="noise.rate=0.4",
    factors={"noise.rate": 0.4},
    kind="search",
    number=0,
    state="complete",
    parameters={"finetune.lr": 0.01},
    config={"finetune": {"lr": 0.01}, "replicate": 0},
    metrics={"test/accuracy_at_last": 0.75},
)
