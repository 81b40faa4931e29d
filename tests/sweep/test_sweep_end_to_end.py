"""Sweeps with real Ray, a real journal and real MLflow, over trials that take no time."""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import ray
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from noisetune.records import MetricPoint, Tick, TrialRecord, TrialResult
from noisetune.sweep.execution.adapters import EndedTrials
from noisetune.sweep.execution.launch import run_trials
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.sweep.study.storage import drive_ledger, open_sweep
from noisetune.tracking.tracker import open_tracker

pytestmark = pytest.mark.usefixtures("ray_at_hand")

LR = {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
EPOCHS, TRIALS = 5, 5
RAISES, DIVERGES, FALTERS = 0.1, 0.3, 0.4
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
METRICS = ("val/accuracy", "test/accuracy", "train/loss")


def accuracy(learning_rate: float, epoch: int) -> float:
    return (math.log10(learning_rate) + 4) / 3 + epoch / 100


def scripted(notes: Path) -> Callable[..., Any]:
    """A pipeline whose accuracy follows the learning rate, and that notes each epoch it computes.

    The first trial of a condition meets with the mishap of its noise rate in its second epoch.
    """
    # A worker cannot import a test.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def pipeline(config: Any, *_: object) -> Any:
        rate, lr = config.noise.rate, config.finetune.lr
        computed = notes / f"{rate} {lr} {config.replicate}"
        mishap = rate if is_first(notes / str(rate), lr) else None
        if mishap == FALTERS and computed.exists():
            mishap = None
        for epoch in range(1, EPOCHS + 1):
            with computed.open("a") as note:
                note.write(f"{epoch}\n")
            value = accuracy(lr, epoch)
            if epoch == 2:
                if mishap == RAISES:
                    raise ValueError("of a bug")
                if mishap == FALTERS:
                    os._exit(1)
                value = math.nan if mishap == DIVERGES else value
            values = {"val/accuracy": value, "test/accuracy": value / 2, "train/loss": 1 / epoch}
            yield MetricPoint("finetune", epoch, values)
        best = {"epoch": float(EPOCHS), "test/accuracy": value / 2}
        return TrialResult(config.to_json(), {"last": best}, {"f1": 0.5}, {}, {})

    return pipeline


def is_first(note: Path, learning_rate: float) -> bool:
    """Whether no other trial of the condition began before this one."""
    if not note.exists():
        note.write_text(str(learning_rate))
    return note.read_text() == str(learning_rate)


@dataclass
class Swept:
    """What a sweep left behind."""

    records: list[TrialRecord]
    parent: Run
    runs: dict[str, Run]
    client: MlflowClient
    notes: Path
    intermediate: dict[str, dict[int, float]]
    ended: list[Any]
    """Ray's trials that came to their end, as it keeps them."""

    def computed(self, record: TrialRecord) -> list[int]:
        """The epochs that the trial computed."""
        config = record.config
        note = f"{config['noise']['rate']} {config['finetune']['lr']} {config['replicate']}"
        return [int(line) for line in (self.notes / note).read_text().split()]

    def rows(self, record: TrialRecord, metric: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(self.runs[record.name].info.run_id, metric)
        return [(row.step, row.value) for row in history]

    def of_state(self, state: str) -> list[TrialRecord]:
        return [record for record in self.records if record.state == state]


def prepare(space: dict[str, Any], **sweep: Any) -> Sweep:
    config = {"search_space": "-", "trial": {"finetune": {"epochs": EPOCHS}}} | sweep
    return Sweep.prepare(parse_sweep(config, "the test"), SearchSpace.model_validate(space))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("mlruns"))


@contextmanager
def driving(home: Home, sweep: Sweep) -> Iterator[Ledger]:
    with claim_sweep(home, sweep.config.name) as lease:
        yield drive_ledger(home, sweep, lease)


@pytest.fixture(scope="module")
def swept(home: Home, ray_at_hand: None) -> Swept:
    """A sweep over three conditions, in each of which the first trial meets with a mishap."""
    notes = home.root / "notes"
    notes.mkdir()
    sweep = prepare(
        {"conditions": {"noise.rate": [RAISES, DIVERGES, FALTERS]}, "parameters": LR},
        name="mishaps",
        sampler={"name": "random", "seed": 0},
        pruner={"name": "median", "n_startup_trials": 1},
        trials_per_condition=TRIALS,
        replicates=1,
        resources={"cpu": 1},
    )
    ledger = drive_ledger(home, sweep, claim_sweep(home, sweep.config.name))
    outbox = home.sweep("mishaps") / "outbox.jsonl"
    tracker = open_tracker(home.tracking_uri, "mishaps", outbox, home.artifacts)
    tracker.sweep("running", {})
    ended: list[Any] = []
    forget = EndedTrials.on_trial_complete

    def forgetting(callback: EndedTrials, *arguments: Any, trial: Any, **more: Any) -> None:
        ended.append(trial)
        forget(callback, *arguments, trial=trial, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EndedTrials, "on_trial_complete", forgetting)
        scheduler = run_trials(sweep, ledger, home, [tracker], scripted(notes))
    assert scheduler.finished
    tracker.sweep("complete", {})
    assert tracker.close()
    return read_back(home, sweep, notes, ended)


def read_back(home: Home, sweep: Sweep, notes: Path, ended: list[Any]) -> Swept:
    """The ledger and MLflow, as another process sees them."""
    name = sweep.config.name
    ledger = Ledger(journal(home.ledger_file(name)), name)
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    runs = {run.data.tags["noisetune.trial"]: run for run in children}
    assert (len(parents), len(runs)) == (1, len(children))
    intermediate = {
        f"{each.name} trial {trial.number}": trial.intermediate_values
        for each in sweep.conditions
        for trial in ledger.study(each.name, "search", ["maximize"], None).get_trials()
    }
    return Swept(ledger.records(sweep.cells), parents[0], runs, client, notes, intermediate, ended)


def test_a_local_ray_listens_on_this_machine_alone() -> None:
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


def test_every_trial_is_once_in_the_ledger_and_once_in_mlflow(swept: Swept) -> None:
    names = [record.name for record in swept.records]
    assert len(names) == len(set(names)) == 3 * (TRIALS + 1)
    assert set(names) == swept.runs.keys()


def test_every_trial_of_mlflow_is_a_child_of_the_sweep(swept: Swept) -> None:
    parents = {run.data.tags["mlflow.parentRunId"] for run in swept.runs.values()}
    assert parents == {swept.parent.info.run_id}
    assert swept.parent.info.status == "FINISHED"


def test_mlflow_and_the_ledger_agree_on_how_trials_ended(swept: Swept) -> None:
    for record in swept.records:
        run = swept.runs[record.name]
        assert run.info.status == STATUS[record.state]
        assert run.data.tags["noisetune.state"] == record.state
        assert run.data.tags.get("noisetune.reason") == record.reason


def test_a_mishap_fails_its_trial_and_the_sweep_goes_on(swept: Swept) -> None:
    failed = {record.factors["noise.rate"]: record for record in swept.of_state("failed")}
    assert {rate: record.reason for rate, record in failed.items()} == {
        RAISES: "ValueError: of a bug",
        DIVERGES: "val/accuracy is nan in epoch 2",
    }
    ended = Counter(record.factors["noise.rate"] for record in swept.of_state("complete"))
    assert set(ended) == {RAISES, DIVERGES, FALTERS}


def faltering(swept: Swept) -> TrialRecord:
    """The trial whose process dies once, the first to come so far: it tells its epochs twice."""
    (found,) = (each for each in swept.records if swept.computed(each).count(1) == 2)
    return found


def test_a_trial_whose_process_dies_once_goes_on_as_itself(swept: Swept) -> None:
    first = faltering(swept)
    assert first.factors["noise.rate"] == FALTERS
    again = swept.computed(first)[2:]
    assert swept.computed(first)[:2] == [1, 2]
    # Where others ended meanwhile it may be pruned; else it goes on to its end.
    assert again == list(range(1, (EPOCHS if first.state == "complete" else len(again)) + 1))
    assert first.state in ("complete", "pruned")
    assert again


def test_what_a_failed_trial_had_told_is_kept(swept: Swept) -> None:
    for record in swept.of_state("failed"):
        lr = record.parameters["finetune.lr"]
        assert swept.rows(record, "val/accuracy")[:1] == [(1, accuracy(lr, 1))]


def test_a_pruned_trial_is_stopped_and_computes_no_further_epoch(swept: Swept) -> None:
    pruned = [record for record in swept.of_state("pruned") if record != faltering(swept)]
    assert pruned
    for record in pruned:
        epochs = swept.computed(record)
        assert len(epochs) < EPOCHS
        assert epochs == list(swept.intermediate[record.name])
        assert epochs == [step for step, _ in swept.rows(record, "val/accuracy")]
        assert record.reason == "pruned by median"


def test_a_pruned_trial_was_worse_than_the_median(swept: Swept) -> None:
    for record in swept.of_state("pruned"):
        best = [other for other in swept.of_state("complete") if other.kind == "search"]
        best = [other for other in best if other.condition == record.condition]
        assert record.parameters["finetune.lr"] < max(
            other.parameters["finetune.lr"] for other in best
        )


def test_the_rows_by_step_are_what_the_pipeline_yielded(swept: Swept) -> None:
    for record in swept.of_state("complete"):
        lr = record.config["finetune"]["lr"]
        wanted = [(epoch, accuracy(lr, epoch)) for epoch in range(1, EPOCHS + 1)]
        assert swept.computed(record)[-EPOCHS:] == [epoch for epoch, _ in wanted]
        assert swept.rows(record, "val/accuracy") == wanted
        assert swept.rows(record, "test/accuracy") == [(step, value / 2) for step, value in wanted]
        assert swept.rows(record, "train/loss") == [(step, 1 / step) for step, _ in wanted]
        assert record.objective == wanted[-1][1]


def test_the_configuration_of_a_trial_stands_in_mlflow(swept: Swept) -> None:
    for record in swept.records:
        run = swept.runs[record.name]
        assert run.data.params == {
            "finetune.lr": str(record.config["finetune"]["lr"]),
            "noise.rate": str(record.factors["noise.rate"]),
        }
        folder = Path(unquote(urlsplit(run.info.artifact_uri).path))
        assert yaml.safe_load((folder / "config.yaml").read_text()) == record.config


def test_the_result_of_a_trial_stands_in_both(swept: Swept) -> None:
    for record in swept.of_state("complete"):
        assert record.metrics["detect/f1"] == 0.5
        assert swept.runs[record.name].data.metrics["detect/f1"] == 0.5


def test_winners_are_repeated_on_a_seed_of_their_own(swept: Swept) -> None:
    again = {record.condition: record for record in swept.records if record.kind == "replicate"}
    assert len(again) == 3
    for condition, replicate in again.items():
        search = [
            record
            for record in swept.of_state("complete")
            if record.condition == condition and record.kind == "search"
        ]
        winner = max(search, key=lambda record: record.objective or 0.0)
        assert replicate.config == winner.config | {"replicate": 1}


def test_ray_keeps_little_of_the_trials_that_have_ended(swept: Swept) -> None:
    assert len(swept.ended) >= len(swept.records)
    for trial in swept.ended:
        assert trial.last_result["done"] in (True, False)
        assert len(str(trial.last_result) + trial.experiment_tag) < len(trial.config["job"])


def test_a_finished_sweep_has_nothing_left_to_run(home: Home, swept: Swept) -> None:
    again, ledger = open_sweep(home, "mishaps")
    assert run_trials(again, ledger, home, [], scripted(swept.notes)).finished
    assert ledger.records(again.cells) == swept.records


@pytest.mark.long
def test_a_quarter_of_a_gpu_lets_four_run_at_once(home: Home, tmp_path: Path) -> None:
    def pipeline(config: Any, *_: object) -> Any:
        """Waits, with patience, until four run; notes how many do."""
        me = tmp_path / f"running {config.replicate}"
        me.touch()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (tmp_path / "four").exists():
            running = len(list(tmp_path.glob("running *")))
            if running >= 4:
                (tmp_path / "four").touch()
            yield Tick("finetune", 0.5)
            time.sleep(0.05)
        running = len(list(tmp_path.glob("running *")))
        yield MetricPoint("finetune", 1, {"val/accuracy": 0.5})
        me.unlink()
        last = {"epoch": 1.0, "at_once": float(running)}
        return TrialResult(config.to_json(), {"last": last}, {}, {}, {})

    share = {"cpu": 0.25, "gpu": 0.25}
    sweep = prepare({"parameters": {}}, name="shares", replicates=6, resources=share)
    ledger = drive_ledger(home, sweep, claim_sweep(home, sweep.config.name))
    assert run_trials(sweep, ledger, home, [], pipeline).finished
    at_once = [record.metrics["at_once_at_last"] for record in ledger.records(sweep.cells)]
    assert len(at_once) == 6
    assert max(value or 0 for value in at_once) == 4
