"""A whole trial on 60 digits, again and again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from noisetune.config import PLUGINS, TrialConfig
from noisetune.errors import UserError
from noisetune.pipeline import Options, chosen_epochs, overfitting, run_trial
from noisetune.records import MetricPoint, TrialResult
from noisetune.selection import CHANGED, CHOICES
from noisetune.ssl.base import GivenEncoder, GivenFeatures
from noisetune.stages.base import record_of
from noisetune.store import Artifact, Lease, NullStore, StageKey, Store
from noisetune.training import runtime
from noisetune.training.loop import DivergedError
from noisetune.training.speed import forward_flops

TinyTrial = Callable[..., TrialConfig]
Run = Callable[..., tuple[list[MetricPoint], TrialResult]]
# Weights that are given are files of their own: tests/stages/test_given.py.
COMPUTED = [
    name
    for name, each in PLUGINS["pretrain"].items()
    if not issubclass(each, GivenEncoder | GivenFeatures)
]


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


def test_a_trial_says_what_it_would_cost_alone(run: Run) -> None:
    """Both networks of co-teaching, and the look at all images with which a matrix is estimated."""
    methods = ["cross_entropy", "coteaching", "forward"]
    costs = {
        method: run(pretrain={"method": "none"}, finetune={"method": method})[1].cost
        for method in methods
    }
    passes = {method: cost["passes"] for method, cost in costs.items()}
    assert passes == {"cross_entropy": 2, "coteaching": 4, "forward": pytest.approx(2 + 1 / 3)}
    plain = costs["cross_entropy"]["flops"]
    for method, cost in costs.items():
        assert cost["flops"] / plain == pytest.approx(passes[method] / 2)


def test_operations_are_of_every_image_that_each_stage_sees(run: Run, tiny_trial: Any) -> None:
    """Pre-training sees 60 images twice an epoch, fine-tuning 48 once, forward and backward."""
    model = tiny_trial().model
    cost = run(pretrain={"method": "simclr"})[1].cost
    assert cost["passes"] == 2 * 2 + 2
    images = 2 * 2 * 60 + 2 * 48
    assert cost["flops"] == 3 * forward_flops(model, (1, 8, 8)) * images


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


@pytest.mark.parametrize("method", COMPUTED)
def test_a_run_repeats_bit_for_bit(run: Run, method: str) -> None:
    # It rebuilds patches, and wants a backbone that has some.
    model = {"model": {"name": "vit_tiny", "depth": 1}} if method == "mae" else {}
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(run(pretrain={"method": method}, **model))
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
    """Ties go to the first; every rule may choose an epoch of its own. What an earlier version
    stored has no changed predictions."""
    noisy, clean = (0.2, 0.5, 0.5, 0.3), (0.6, 0.7, 0.9, 0.8)
    points = [
        MetricPoint("finetune", step, {"val/accuracy": val, "test/accuracy": test})
        for step, (val, test) in enumerate(zip(noisy, clean, strict=True), 1)
    ]
    changes = (None, 0.3, 0.2, 0.6)
    recorded = [
        MetricPoint(point.stage, point.step, point.values | {CHANGED: change})
        for point, change in zip(points, changes, strict=True)
    ]
    chosen = chosen_epochs(Artifact({}, record_of(recorded, 1.0)))
    assert chosen.keys() == set(CHOICES)
    assert chosen["label_wave"] == {"epoch": 3, **recorded[2].values}
    assert chosen_epochs(Artifact({}, record_of(points, 1.0))) == {
        "last": {"epoch": 4, "val/accuracy": 0.3, "test/accuracy": 0.8},
        "noisy_best": {"epoch": 2, "val/accuracy": 0.5, "test/accuracy": 0.7},
        "oracle": {"epoch": 3, "val/accuracy": 0.5, "test/accuracy": 0.9},
    }


def test_overfitting_by_hand() -> None:
    """The clean peak is the second epoch, the noisy one the third of four."""
    curves = {
        "train/loss": (2.0, 1.5, 1.0, 0.5),
        "test/loss": (2.0, 1.0, 1.2, 1.5),
        "test/accuracy": (0.25, 0.75, 0.5, 0.5),
        "val/accuracy": (0.25, 0.25, 0.5, 0.375),
    }
    points = [
        MetricPoint("finetune", step + 1, {name: each[step] for name, each in curves.items()})
        for step in range(4)
    ]
    assert overfitting(Artifact({}, record_of(points, 1.0))) == {
        "test/loss_escalation": 1.5,
        "test/overfits": 1.0,
        "test/accuracy_drop": 0.25,
        "val/accuracy_drop": 0.125,
    }


def test_the_result_says_how_a_training_overfitted(run: Run) -> None:
    points, result = run(finetune={"epochs": 4, "lr": 0.02}, noise={"rate": 0.6})
    told = [point.values for point in points if point.stage == "finetune"]
    clean = [values["test/accuracy"] for values in told]
    metrics = result.metrics()
    assert metrics["test/accuracy_drop"] == max(clean) - clean[-1]
    assert metrics["test/accuracy_at_oracle"] == max(clean)
    assert metrics["epoch_at_oracle"] == clean.index(max(clean)) + 1
    assert metrics["detect/memorisation_at_last"] == told[-1]["detect/memorisation"]
    losses = [values["test/loss"] for values in told]
    assert metrics["test/loss_escalation"] == pytest.approx(losses[-1] / min(losses))
    assert metrics["test/overfits"] in (0, 1)


def test_the_result_tells_the_points_of_the_chosen_epochs(run: Run) -> None:
    points, result = run(finetune={"epochs": 4})
    values = {point.step: point.values for point in points if point.stage == "finetune"}
    assert result.epochs.keys() == set(CHOICES)
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
    settled |= {"compile": False, "threads": 1, "images": "device", "tf32": False}
    _, result = run(runtime=dict.fromkeys(settled, "auto") | {"device": "cpu"})
    assert result.config["runtime"] == settled


def test_without_noise_what_needs_errors_is_null(run: Run) -> None:
    _, result = run(noise={"model": "none"})
    assert result.noise["train_rate"] == result.noise["detection_rate"] == 0
    assert {epoch["detect/memorisation"] for epoch in result.epochs.values()} == {None}
    assert result.detection["f1"] is None


def test_the_realised_noise_is_recorded(run: Run) -> None:
    _, result = run(noise={"rate": 1.0})
    noise = result.noise
    assert noise["train_rate"] == noise["validation_rate"] == noise["detection_rate"] == 1
    assert all(row[label] == 0 for label, row in enumerate(noise["train_matrix"]))


def test_a_trial_with_human_labels_seeks_errors_in_held_out_training_images(
    run: Run, shared_data: Path, tmp_path: Path
) -> None:
    """80 real images of CIFAR-10, and what people said of them."""
    mosaic = np.asarray(Image.open(shared_data / "cifar10" / "train_00.webp").convert("RGB"))
    images = mosaic.reshape(25, 32, 40, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    with np.load(shared_data / "cifar10_labels.npz", allow_pickle=False) as arrays:
        labels = arrays["train"][:1000]
    path = tmp_path / "real.npz"
    parts = {"x_train": images, "y_train": labels, "x_test": images[-30:], "y_test": labels[-30:]}
    np.savez(path, **parts)
    human = {"model": "human", "labels": "worse", "path": shared_data / "CIFAR-10_human.pt"}
    data = {"name": "npz", "path": path, "train_samples": 80}
    points, result = run(data=data, noise=human, pretrain={"epochs": 1}, finetune={"epochs": 1})
    assert result.noise["detection_part"] == "train"
    assert result.detection["error_rate"] == result.noise["detection_rate"] > 0
    assert 0.2 < result.noise["train_rate"] < 0.6
    np.testing.assert_allclose(np.nansum(np.array(result.noise["train_matrix"], float), 1), 1)
    assert result.epochs.keys() == set(CHOICES)
    assert points[-1].stage == "detect"


def test_labels_in_another_order_are_a_user_error_before_anything_is_computed(
    run: Run, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "human.npz"
    np.savez(path, clean=np.arange(60) % 10, worse=np.arange(60) % 10)
    with pytest.raises(UserError, match="the order differs"):
        run(store, noise={"model": "human", "labels": "worse", "path": path})
    assert list(store.list()) == []


def test_a_trial_of_the_papers_protocol_shows_its_figure_beside_the_sound_ones(run: Run) -> None:
    """Its own figure is the oracle's, and its validation labels are those of detection."""
    points, result = run(protocol="paper", finetune={"epochs": 3}, detect={})
    assert result.epochs.keys() == set(CHOICES)
    tuning = [point.values["test/accuracy"] for point in points if point.stage == "finetune"]
    assert result.epochs["oracle"]["test/accuracy"] == max(tuning)
    assert result.epochs["last"]["test/accuracy"] == tuning[-1]
    assert result.noise["validation_rate"] == result.noise["detection_rate"]
    assert result.noise["detection_part"] == "test"
    assert result.config["protocol"] == "paper"


@pytest.mark.parametrize(
    "model", sorted(set(PLUGINS["noise"]) - {"human", "transition", "asymmetric"})
)
def test_every_noise_model_goes_all_the_way(run: Run, model: str) -> None:
    _, result = run(noise={"model": model}, pretrain={"method": "none"}, finetune={"epochs": 1})
    assert (result.noise["train_rate"] > 0) == (model != "none")


def test_every_detector_looks_at_one_trial_and_costs_no_training(
    run: Run, store: Store, computed: list[str]
) -> None:
    """At the held-out labels, and by folds at those of training."""
    once: dict[str, Any] = {"pretrain": {"method": "none"}, "noise": {"rate": 0.4}}
    run(store, detect={"folds": 3}, **once)
    computed.clear()
    also = [{"method": name} for name in PLUGINS["detect"] if name != "confident_learning"]
    _, result = run(store, detect={"folds": 3, "also": also}, **once)
    assert computed == ["detect"] * len(also) + ["detect_cv"] * len(also)
    labels = [each.label for each in TrialConfig.parse(result.config, "x").detect.also]
    assert len(labels) == len(also)
    for name in ("auroc", "auprc", "precision_at_k"):
        assert all(result.detection[f"{label}/{name}"] is not None for label in labels)
        assert all(result.detection[f"{label}/cv_{name}"] is not None for label in labels)
    assert result.predictions is not None
    assert result.predictions.scores.keys() == {*labels, "confident_learning_prune_by_noise_rate"}


@pytest.mark.parametrize("method", ["wrong_events", "aum"])
def test_a_single_epoch_is_enough(run: Run, method: str) -> None:
    """For a detector of what happens over the epochs, and for Label Wave."""
    _, result = run(finetune={"epochs": 1}, detect={"method": method}, noise={"rate": 0.4})
    assert result.detection["auroc"] is not None
    assert result.detection["f1"] is None
    assert result.epochs["label_wave"] == result.epochs["last"]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_diverging_learning_rate_is_told_by_name(run: Run, stage: str) -> None:
    with pytest.raises(DivergedError, match=r"of epoch \d is") as error:
        run(**{stage: {"lr": 1e30}})
    assert error.value.chance == 1 / 10


def test_missing_data_is_a_user_error_before_anything_is_computed(
    run: Run, store: Store, tmp_path: Path
) -> None:
    missing = {"name": "npz", "path": str(tmp_path / "none.npz")}
    with pytest.raises(UserError, match=r"none.npz does not exist"):
        run(store, data=missing)
    assert list(store.list()) == []
