from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from noisetune import pipeline
from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.pipeline import run_trial, stands_still
from noisetune.records import MetricPoint, TrialResult
from noisetune.stages.base import Inputs
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.stages.telemetry import telemetry_key, telemetry_stage
from noisetune.store import Artifact, NullStore, StageKey, Store
from noisetune.training.loop import DivergedError

Drive = Callable[..., Any]
Run = Callable[..., tuple[list[MetricPoint], TrialResult]]
NAMES = {
    "pretrain/alignment", "pretrain/uniformity", "pretrain/rankme", "pretrain/feature_deviation",
    "pretrain/knn", "pretrain/probe", "test/knn", "test/probe", "test/separation",
}  # fmt: skip
TELEMETRY = {"epochs": [1, 3, 50], "samples": 20, "k": 5}
EPOCHS = 4


@pytest.fixture
def run(tiny_trial: Callable[..., TrialConfig], drive: Drive) -> Run:
    """A tiny trial of four pre-training epochs, looked at after 1, 3 and the last."""

    def run(
        store: Any = None,
        telemetry: dict[str, Any] | None = TELEMETRY,
        epochs: int = EPOCHS,
        **pretrain: Any,
    ) -> tuple[list[MetricPoint], TrialResult]:
        settings = {"epochs": epochs} | pretrain
        config = tiny_trial(telemetry=telemetry, pretrain=settings, finetune={"epochs": 1})
        return drive(run_trial(config, store or NullStore()))

    return run


def told(points: list[MetricPoint], *, telemetry: bool) -> list[tuple[str, int, Any]]:
    """What the points of telemetry, or of all else, say."""
    return [
        (point.stage, point.step, point.values)
        for point in points
        if (point.stage == "telemetry") == telemetry
    ]


def test_without_a_validation_part_a_fifth_of_the_training_images_is_asked(
    tiny_trial: Callable[..., TrialConfig], drive: Drive
) -> None:
    config = tiny_trial(
        telemetry=TELEMETRY, protocol="paper", finetune={"epochs": 1}, pretrain={"epochs": 1}
    )
    assert config.data.validation_fraction == 0
    _, result = drive(run_trial(config, NullStore()))
    asked = config.data.train_samples // 5
    for name in ("pretrain/knn", "pretrain/probe"):
        share = result.telemetry[name] * asked
        assert share == pytest.approx(round(share))


def test_it_looks_at_the_listed_epochs_and_at_the_last(run: Run) -> None:
    points, result = run()
    seen = [point for point in points if point.stage == "telemetry"]
    assert [point.step for point in seen] == [1, 3, EPOCHS]
    for point in seen:
        assert point.values.keys() == NAMES
        for name, value in point.values.items():
            assert value is not None
            assert value <= (30 if name == "pretrain/rankme" else 4)
    assert result.telemetry == {"epoch": EPOCHS, **seen[-1].values}
    assert result.metrics()["test/probe_at_pretrained"] == seen[-1].values["test/probe"]
    assert result.seconds["telemetry"] > 0


def test_without_a_list_it_looks_at_the_last_alone(run: Run) -> None:
    points, _ = run(telemetry={})
    assert [step for _, step, _ in told(points, telemetry=True)] == [EPOCHS]


def test_it_repeats_bit_for_bit_and_the_store_changes_nothing(run: Run, store: Store) -> None:
    points, result = run()
    for place in (None, store, store):
        again, other = run(place)
        assert told(again, telemetry=True) == told(points, telemetry=True)
        assert other.telemetry == result.telemetry


def test_it_changes_nothing_else(run: Run, store: Store) -> None:
    points, result = run(telemetry=None)
    more, other = run(store)
    assert told(more, telemetry=False) == told(points, telemetry=False)
    assert (other.epochs, other.detection) == (result.epochs, result.detection)
    assert result.telemetry == {}


def test_no_other_key_knows_of_it(run: Run, store: Store, computed: list[str]) -> None:
    run(store)
    computed.clear()
    run(store, telemetry=None)
    run(store, telemetry=TELEMETRY | {"epochs": [1]})
    assert computed == []


def test_where_checkpoints_are_stored_only_it_is_computed(
    run: Run, store: Store, computed: list[str]
) -> None:
    for epochs in (1, 3, EPOCHS):
        run(store, telemetry=None, epochs=epochs)
    computed.clear()
    run(store)
    assert computed == ["telemetry"] * 3


def test_its_checkpoints_serve_shorter_trials(run: Run, store: Store, computed: list[str]) -> None:
    run(store)
    computed.clear()
    run(store, telemetry=None, epochs=3)
    assert computed == ["finetune", "detect"]


def test_from_scratch_there_is_nothing_to_look_at(
    tiny_trial: Callable[..., TrialConfig], drive: Drive
) -> None:
    config = tiny_trial(telemetry=TELEMETRY, pretrain={"method": "none"})
    points, result = drive(run_trial(config, NullStore()))
    assert told(points, telemetry=True) == []
    assert result.telemetry == {}
    assert "telemetry" not in result.seconds


@pytest.mark.parametrize(("listed", "steps"), [([1], [1, 2]), ([2], [2]), ([1, 3], [1, 2])])
def test_the_last_look_is_where_a_plateau_ended_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, listed: list[int], steps: list[int]
) -> None:
    accuracies = iter([0.5, 0.4])
    monkeypatch.setattr(pipeline, "noisy_knn", lambda *_: next(accuracies))
    stop = {"metric": "knn", "patience": 1, "every": 1}
    points, result = run(telemetry=TELEMETRY | {"epochs": listed}, stop=stop)
    assert [step for _, step, _ in told(points, telemetry=True)] == steps
    assert result.telemetry["epoch"] == 2


@pytest.mark.parametrize(
    ("accuracies", "patience", "still"),
    [([0.3], 1, False), ([0.3, 0.3], 1, True), ([0.3, 0.2], 2, False), ([0.3, 0.2, 0.4], 2, False)],
)
def test_a_plateau_is_so_many_looks_without_a_better_one(
    accuracies: list[float], patience: int, still: bool
) -> None:
    assert stands_still(accuracies, patience) is still


@pytest.mark.parametrize("epochs", [[], [EPOCHS], [EPOCHS, 50]], ids=str)
def test_a_schedule_that_looks_ahead_is_looked_at_in_the_end(run: Run, epochs: list[int]) -> None:
    points, _ = run(telemetry=TELEMETRY | {"epochs": epochs}, schedule="cosine")
    assert [step for _, step, _ in told(points, telemetry=True)] == [EPOCHS]


def test_a_schedule_that_looks_ahead_is_looked_at_no_earlier(run: Run) -> None:
    with pytest.raises(UserError, match=r"telemetry.epochs: 1: a cosine schedule .* last epoch"):
        run(schedule="cosine")


@pytest.mark.parametrize(
    "wrong", [{"epochs": [0]}, {"samples": 1}, {"k": 0}, {"probe_iterations": 0}, {"epoch": [1]}]
)
def test_what_makes_no_sense_is_refused(run: Run, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"telemetry\.{next(iter(wrong))}"):
        run(telemetry=wrong)


Look = tuple[Inputs, Artifact, StageKey]


@pytest.fixture
def look(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[..., Inputs], drive: Drive
) -> Look:
    """What a trial works on, its encoder after two epochs, and that one's key."""
    inputs = inputs_of(tiny_trial(telemetry=TELEMETRY))
    key = pretrain_key(inputs.config, inputs.data)
    assert key is not None
    stage = pretrain_stage(inputs, inputs.config.pretrain, key, 2)  # type: ignore[arg-type]
    return inputs, drive(run_stage(stage, NullStore()))[1], key


def values(inputs: Inputs, encoder: Artifact, key: StageKey, drive: Drive) -> dict[str, Any]:
    ((point,), _) = drive(run_stage(telemetry_stage(inputs, encoder, key, 2), NullStore()))
    return point.values


def test_what_sees_clean_labels_says_so_by_its_name(look: Look, drive: Drive) -> None:
    inputs, *rest = look
    data = inputs.data
    other = replace(data, y_train=data.y_train.roll(1), y_test=data.y_test.roll(1))
    before = values(inputs, *rest, drive)
    after = values(replace(inputs, data=other), *rest, drive)
    changed = {name for name in NAMES if before[name] != after[name]}
    assert changed == {name for name in NAMES if name.startswith("test/")}


def test_noisy_accuracies_read_the_noisy_labels(look: Look, drive: Drive) -> None:
    inputs, *rest = look
    same = replace(inputs.labels, train=np.zeros_like(inputs.labels.train))
    told = values(replace(inputs, labels=same), *rest, drive)
    assert told["pretrain/knn"] == 1
    assert told["pretrain/probe"] is None


def test_the_encoder_is_left_as_it_is(look: Look, drive: Drive) -> None:
    inputs, encoder, key = look
    before = {name: tensor.clone() for name, tensor in encoder.tensors.items()}
    assert values(inputs, encoder, key, drive) == values(inputs, encoder, key, drive)
    assert all(before[name].equal(tensor) for name, tensor in encoder.tensors.items())


def test_an_encoder_that_broke_is_told(look: Look, drive: Drive) -> None:
    inputs, encoder, key = look
    broken = {name: tensor * torch.nan for name, tensor in encoder.tensors.items()}
    with pytest.raises(DivergedError, match="features after epoch 2 are not finite"):
        values(inputs, Artifact(broken), key, drive)


def test_the_key_holds_what_it_reads(
    look: Look, tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[..., Inputs]
) -> None:
    inputs, _, origin = look

    def key(telemetry: dict[str, Any] = TELEMETRY, **changes: Any) -> StageKey:
        return telemetry_key(inputs_of(tiny_trial(telemetry=telemetry, **changes)), origin, 2)

    assert key() == key(TELEMETRY | {"epochs": [7]}) == key(finetune={"lr": 0.1})
    others = [
        telemetry_key(inputs, origin, 3),
        telemetry_key(inputs, StageKey("pretrain", 1, {}), 2),
        key(TELEMETRY | {"k": 6}),
        key(TELEMETRY | {"samples": 21}),
        key(noise={"rate": 0.1}),
        key(data={"validation_fraction": 0.3}),
        key(data={"test_samples": 20}),
        key(replicate=1),
    ]
    assert len({key(), *others}) == 9


def test_without_a_validation_part_training_images_ask_each_other(
    tiny_trial: Callable[..., TrialConfig], drive: Drive
) -> None:
    """As under the paper's protocol, with everything that looks at a trial switched on."""
    config = tiny_trial(
        protocol="paper",
        telemetry=TELEMETRY,
        pretrain={"epochs": 2},
        finetune={"epochs": 3, "train": "probe_then_tune", "probe_epochs": 1},
        detect={"folds": 2},
    )
    points, result = drive(run_trial(config, NullStore()))
    assert [step for _, step, _ in told(points, telemetry=True)] == [1, 2]
    assert None not in (result.telemetry["pretrain/knn"], result.telemetry["pretrain/probe"])
    assert result.detection["cv_f1"] is not None


def test_test_images_are_seen_as_pre_training_saw_the_training_images(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[..., Inputs], drive: Drive
) -> None:
    """Without mean and deviation, where the recipe is so: the same image has one feature."""
    inputs = inputs_of(tiny_trial(telemetry=TELEMETRY | {"k": 1}, protocol="paper"))
    data = inputs.data
    same = replace(data, x_test=data.x_train, y_test=data.y_train)
    inputs = replace(
        inputs, data=same, labels=replace(inputs.labels, fit=np.arange(len(same.x_train)))
    )
    key = pretrain_key(inputs.config, same)
    assert key is not None
    stage = pretrain_stage(inputs, inputs.config.pretrain, key, 2)  # type: ignore[arg-type]
    encoder = drive(run_stage(stage, NullStore()))[1]
    assert values(inputs, encoder, key, drive)["test/knn"] == 1.0
