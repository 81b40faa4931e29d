"""A whole trial on 60 digits, again and again."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from noisetune.config import PLUGINS, TrialConfig
from noisetune.errors import UserError
from noisetune.pipeline import Options, chosen_epochs, run_trial
from noisetune.records import MetricPoint, TrialResult
from noisetune.stages.base import record_of
from noisetune.store import Artifact, Lease, NullStore, StageKey, Store
from noisetune.training import runtime
from noisetune.training.loop import DivergedError

TinyTrial = Callable[..., TrialConfig]
Run = Callable[..., tuple[list[MetricPoint], TrialResult]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "stages")


@pytest.fixture
def run(tiny_trial: TinyTrial, drive: Callable[..., Any]) -> Run:
    """The points and the result of the tiny trial with changes."""

    def run(
        store: Store | None = None, milestones: tuple[int, ...] = (), **changes: Any
    ) -> tuple[list[MetricPoint], TrialResult]:
        options = Options(milestones=milestones)
        return drive(run_trial(tiny_trial(**changes), store or NullStore(), options))

    return run


@pytest.fixture
def computed(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that took a lease on the store, as only those that compute do."""
    taken, lease = [], store.lease

    def counting(key: StageKey) -> Lease | None:
        taken.append(key.stage)
        return lease(key)

    monkeypatch.setattr(store, "lease", counting)
    return taken


def told(points: list[MetricPoint]) -> list[tuple[str, int, dict[str, float | None]]]:
    """What points say, whenever they were made."""
    return [(point.stage, point.step, point.values) for point in points]


def outcome(result: TrialResult) -> dict[str, Any]:
    """A result without the time it took."""
    return result.to_json() | {"seconds": None}


def test_importing_it_loads_neither_ray_nor_optuna_nor_mlflow() -> None:
    program = "import sys, noisetune.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "noisetune" in loaded
    assert loaded & {"ray", "optuna", "mlflow"} == set()


@pytest.mark.parametrize("method", PLUGINS["pretrain"])
def test_a_run_repeats_bit_for_bit(run: Run, method: str) -> None:
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(run(pretrain={"method": method}))
    assert told(runs[0][0]) == told(runs[1][0])
    assert outcome(runs[0][1]) == outcome(runs[1][1])


@pytest.mark.parametrize("changes", [{"replicate": 1}, {"finetune": {"lr": 0.002}}], ids=str)
def test_another_configuration_is_another_run(run: Run, changes: dict[str, Any]) -> None:
    assert told(run()[0]) != told(run(**changes)[0])


def test_stages_speak_in_their_order(run: Run) -> None:
    points, _ = run()
    assert [(point.stage, point.step) for point in points] == [
        ("pretrain", 1),
        ("pretrain", 2),
        ("gate", 2),
        ("finetune", 1),
        ("finetune", 2),
        ("detect", 0),
    ]


def test_from_scratch_there_is_no_pretraining(run: Run) -> None:
    points, result = run(pretrain={"method": "none"})
    assert [point.stage for point in points] == ["finetune", "finetune", "detect"]
    assert result.seconds.keys() == {"finetune", "detect"}


def test_the_store_changes_no_result(run: Run, store: Store) -> None:
    points, result = run()
    for _ in range(2):
        others, other = run(store)
        assert told(others) == told(points)
        assert outcome(other) == outcome(result)


def test_a_stored_stage_replays_its_points_with_their_first_timestamps(
    run: Run, store: Store
) -> None:
    first, result = run(store)
    again, other = run(store)
    assert [p for p in again if p.stage != "gate"] == [p for p in first if p.stage != "gate"]
    assert other == result


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, []),
        ({"runtime": {"threads": 2}}, []),
        ({"detect": {"filter_by": "both"}}, ["detect"]),
        ({"finetune": {"lr": 0.002}}, ["finetune", "detect"]),
        ({"noise": {"rate": 0.5}}, ["finetune", "detect"]),
        ({"pretrain": {"epochs": 3}}, ["pretrain", "finetune", "detect"]),
        ({"pretrain": {"lr": 0.002}}, ["pretrain", "finetune", "detect"]),
        ({"pretrain": {"method": "none"}}, ["finetune", "detect"]),
        ({"replicate": 1, "pretrain_seed": "shared"}, ["finetune", "detect"]),
        ({"replicate": 1}, ["pretrain", "finetune", "detect"]),
    ],
    ids=str,
)
def test_only_what_a_change_touches_is_computed_again(
    run: Run, store: Store, computed: list[str], changes: dict[str, Any], stages: list[str]
) -> None:
    run(store)
    computed.clear()
    run(store, **changes)
    assert computed == stages


def test_milestones_serve_a_shorter_trial_and_change_nothing(
    run: Run, store: Store, computed: list[str]
) -> None:
    _, plain = run(pretrain={"epochs": 3})
    _, result = run(store, milestones=(1,), pretrain={"epochs": 3})
    assert outcome(result) == outcome(plain)
    computed.clear()
    _, short = run(store, pretrain={"epochs": 1})
    assert computed == ["finetune", "detect"]
    assert outcome(short) == outcome(run(pretrain={"epochs": 1})[1])


def test_a_longer_pretraining_goes_on_from_a_shorter_one(run: Run, store: Store) -> None:
    short, _ = run(store, pretrain={"epochs": 2})
    long, result = run(store, pretrain={"epochs": 4})
    assert long[:2] == short[:2]
    assert outcome(result) == outcome(run(pretrain={"epochs": 4})[1])


@pytest.mark.parametrize("pulled", [1, 3, 4])
def test_a_trial_that_is_no_longer_pulled_frees_its_stage_and_can_go_on(
    run: Run, tiny_trial: TinyTrial, store: Store, pulled: int
) -> None:
    events = run_trial(tiny_trial(), store)
    for _ in range(pulled):
        next(events)
    events.close()
    points, result = run(store)
    expected, plain = run()
    assert told(points) == told(expected)
    assert outcome(result) == outcome(plain)


def test_the_chosen_epochs_by_hand() -> None:
    """Ties go to the first; noisy validation, clean test and the last may be three epochs."""
    noisy, clean = (0.2, 0.5, 0.5, 0.3), (0.6, 0.7, 0.9, 0.8)
    points = [
        MetricPoint("finetune", step, {"val/accuracy": val, "test/accuracy": test})
        for step, (val, test) in enumerate(zip(noisy, clean, strict=True), 1)
    ]
    assert chosen_epochs(Artifact({}, record_of(points, 1.0))) == {
        "last": {"epoch": 4, "val/accuracy": 0.3, "test/accuracy": 0.8},
        "noisy_best": {"epoch": 2, "val/accuracy": 0.5, "test/accuracy": 0.7},
        "oracle": {"epoch": 3, "val/accuracy": 0.5, "test/accuracy": 0.9},
    }


def test_the_result_tells_the_points_of_the_chosen_epochs(run: Run) -> None:
    points, result = run(finetune={"epochs": 4})
    values = {point.step: point.values for point in points if point.stage == "finetune"}
    assert result.epochs.keys() == {"last", "noisy_best", "oracle"}
    for epoch in result.epochs.values():
        assert epoch == {"epoch": epoch["epoch"], **values[epoch["epoch"]]}
    assert result.epochs["last"]["epoch"] == 4
    assert points[-1].values == {f"detect/{name}": v for name, v in result.detection.items()}


def test_the_result_is_json_and_its_configuration_runs_again(
    run: Run, drive: Callable[..., Any]
) -> None:
    _, result = run()
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert TrialResult.from_json(record) == result
    _, again = drive(run_trial(TrialConfig.parse(record["config"], "x"), NullStore()))
    assert outcome(again) == outcome(result)


def test_nothing_auto_is_left_in_the_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cpus", lambda: 1)
    settled = {"device": "cpu", "precision": "fp32", "channels_last": False}
    settled |= {"compile": False, "threads": 1}
    _, result = run(runtime=dict.fromkeys(settled, "auto") | {"device": "cpu"})
    assert result.config["runtime"] == settled


def test_without_noise_what_needs_errors_is_null(run: Run) -> None:
    _, result = run(noise={"model": "none"})
    assert result.noise["train_rate"] == result.noise["test_rate"] == 0
    assert {epoch["detect/memorisation"] for epoch in result.epochs.values()} == {None}
    assert result.detection["f1"] is None


def test_the_realised_noise_is_recorded(run: Run) -> None:
    _, result = run(noise={"rate": 1.0})
    noise = result.noise
    assert noise["train_rate"] == noise["validation_rate"] == noise["test_rate"] == 1
    assert all(row[label] == 0 for label, row in enumerate(noise["train_matrix"]))


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_diverging_learning_rate_is_told_by_name(run: Run, stage: str) -> None:
    with pytest.raises(DivergedError, match=r"of epoch \d is"):
        run(**{stage: {"lr": 1e30}})


def test_missing_data_is_a_user_error_before_anything_is_computed(
    run: Run, store: Store, tmp_path: Path
) -> None:
    missing = {"name": "npz", "path": str(tmp_path / "none.npz")}
    with pytest.raises(UserError, match=r"none.npz does not exist"):
        run(store, data=missing)
    assert list(store.list()) == []
