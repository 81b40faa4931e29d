import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given as cases
from hypothesis import strategies as st
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.detectors.confident_learning import FILTERS
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.records import MetricPoint, Tick, TrialResult
from noisetune.stages import crossval
from noisetune.stages.base import Checkpoint, Inputs, Stage, record_of
from noisetune.stages.crossval import cross_validate, cut_into_folds, fold_key
from noisetune.store import Artifact, NullStore, StageKey, Store

TinyTrial = Callable[..., TrialConfig]
InputsOf = Callable[[TrialConfig], Inputs]
Drive = Callable[..., Any]
ORIGIN = StageKey("finetune", 1, {})
FOLDS = 3


@pytest.fixture
def inputs(tiny_trial: TinyTrial, inputs_of: InputsOf) -> Callable[..., Inputs]:
    return lambda **detect: inputs_of(tiny_trial(detect={"folds": FOLDS} | detect))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Inputs]:
    """What each fold's fine-tuning reads, in a cross-validation whose networks know the truth."""
    return knowing(monkeypatch, probabilities_alone)


def probabilities_alone(logits: Tensor, fold: int) -> dict[str, Tensor]:
    return dict.fromkeys(("logits.last", "logits.selected", "selected.weight"), logits)


def all_that_is_kept(logits: Tensor, fold: int) -> dict[str, Tensor]:
    """Of one epoch; each network's features have directions of their own."""
    epochs = {"predictions": logits.argmax(1)[None], "margins": logits - (9 - logits)}
    return probabilities_alone(logits, fold) | epochs | {"features.selected": logits.roll(fold, 1)}


def knowing(
    monkeypatch: pytest.MonkeyPatch, kept: Callable[[Tensor, int], dict[str, Tensor]]
) -> list[Inputs]:
    seen: list[Inputs] = []

    def finetune_stage(inputs: Inputs, encoder: Any, key: StageKey) -> Stage:
        seen.append(inputs)
        logits = 9.0 * F.one_hot(inputs.data.y_test, inputs.data.classes)
        assert inputs.fold is not None
        tensors = kept(logits, inputs.fold)

        def compute(start: Any, due: Any) -> Iterator[Any]:
            point = MetricPoint("finetune", 1, {"val/accuracy": 0.5})
            yield point
            yield Checkpoint(1, Artifact(tensors, record_of([point], 2.0)))

        return Stage(key, 1, compute)

    monkeypatch.setattr(crossval, "finetune_stage", finetune_stage)
    return seen


@cases(samples=st.integers(4, 60), folds=st.integers(2, 30), replicate=st.integers(0, 3))
def test_folds_are_disjoint_of_even_size_and_leave_nobody_out(
    tiny_trial: TinyTrial, samples: int, folds: int, replicate: int
) -> None:
    config = tiny_trial(detect={"folds": folds}, replicate=replicate)
    if samples < 2 * folds or samples - math.ceil(samples / folds) < 3:
        with pytest.raises(UserError, match=rf"detect.folds: {folds} folds of {samples} training"):
            cut_into_folds(config, samples)
        return
    cut = cut_into_folds(config, samples)
    assert sorted(np.concatenate(cut)) == list(range(samples))
    sizes = [len(part) for part in cut]
    assert len(sizes) == folds
    assert max(sizes) - min(sizes) <= 1


def test_every_method_and_rate_of_a_replicate_meets_the_same_folds(tiny_trial: TinyTrial) -> None:
    def cut(**changes: Any) -> list[list[int]]:
        config = tiny_trial(detect={"folds": FOLDS}, **changes)
        return [part.tolist() for part in cut_into_folds(config, 60)]

    assert cut() == cut(noise={"rate": 0.1}, pretrain={"method": "none"}, finetune={"lr": 0.1})
    assert cut() != cut(replicate=1)


@pytest.mark.parametrize("checkpoint", ["last", "selected"])
def test_every_label_is_judged_once_by_a_network_that_never_saw_it(
    inputs: Callable[..., Inputs], read: list[Inputs], drive: Drive, checkpoint: str
) -> None:
    whole = inputs(checkpoint=checkpoint)
    drive(cross_validate(whole, None, ORIGIN, NullStore()))
    folds = cut_into_folds(whole.config, 60)
    assert len(read) == FOLDS
    for fold, part in zip(folds, read, strict=True):
        assert part.data.x_test.equal(whole.data.x_train[fold])
        assert part.labels.test.tolist() == whole.labels.train[fold].tolist()
        others = sorted(set(range(60)) - set(fold.tolist()))
        fit, validation = part.labels.fit.tolist(), part.labels.validation.tolist()
        assert len(validation) == round(0.2 * len(others))
        # Nothing is chosen under `last`, so that nothing need be held out.
        assert sorted({*fit, *validation}) == others
        assert fit == (others if checkpoint == "last" else sorted(set(others) - set(validation)))


def test_probabilities_stand_with_their_labels(
    inputs: Callable[..., Inputs], read: list[Inputs], drive: Drive
) -> None:
    """Networks that know the truth find the wrong labels of the training set, and only them."""
    whole = inputs(filter_by="predicted_neq_given")
    _, ((made,), seconds) = drive(cross_validate(whole, None, ORIGIN, NullStore()))
    wrong = np.flatnonzero(whole.labels.train != whole.data.y_train.numpy())
    assert made.tensors["flagged"].tolist() == wrong.tolist()
    scores = made.record["scores"]
    assert scores["cv_f1"] == scores["cv_auroc"] == 1
    assert scores["cv_rate_error"] == pytest.approx(0, abs=1e-12)
    assert seconds > 2.0 * FOLDS


@pytest.mark.parametrize("method", ["aum", "knn", "wrong_events"])
def test_all_that_is_kept_stands_with_its_labels(
    tiny_trial: TinyTrial,
    inputs_of: InputsOf,
    monkeypatch: pytest.MonkeyPatch,
    drive: Drive,
    method: str,
) -> None:
    knowing(monkeypatch, all_that_is_kept)
    whole = inputs_of(tiny_trial(detect={"folds": FOLDS, "method": method}, noise={"rate": 0.2}))
    _, ((made,), _) = drive(cross_validate(whole, None, ORIGIN, NullStore()))
    area = made.record["scores"]["cv_auroc"]
    # Of two images of a class in a fold one is all that votes: what it says may be wrong.
    assert area > 0.8 if method == "knn" else area == 1


def test_of_the_folds_only_signs_of_life_are_heard(
    inputs: Callable[..., Inputs], read: list[Inputs], drive: Drive, store: Store
) -> None:
    for _ in range(2):
        events, ((made,), _) = drive(cross_validate(inputs(), None, ORIGIN, store))
        *ticks, point = events
        assert [tick.done for tick in ticks] == pytest.approx([1 / 3, 2 / 3, 1])
        assert {(type(tick), tick.stage) for tick in ticks} == {(Tick, "fold")}
        assert (point.stage, point.step) == ("detect_cv", 0)
        scores = made.record["scores"]
        assert point.values == {f"detect/{name}": value for name, value in scores.items()}


def test_of_a_fold_its_probabilities_are_kept_alone(
    inputs: Callable[..., Inputs], read: list[Inputs], drive: Drive, store: Store
) -> None:
    drive(cross_validate(inputs(), None, ORIGIN, store))
    stored = store.load(fold_key(inputs().config, ORIGIN, 0), 1)
    assert stored is not None
    assert {name: tensor.shape for name, tensor in stored.tensors.items()} == {"logits": (20, 10)}


def test_the_key_of_a_fold_holds_what_it_reads(tiny_trial: TinyTrial) -> None:
    def key(fold: int = 0, origin: StageKey = ORIGIN, **detect: Any) -> StageKey:
        return fold_key(tiny_trial(detect={"folds": FOLDS} | detect), origin, fold)

    assert key() == key(filter_by="both")
    others = [
        key(1),
        key(folds=4),
        key(checkpoint="last"),
        key(0, StageKey("finetune", 1, {"a": 1})),
    ]
    assert len({key(), *others}) == 5


@pytest.fixture
def run(tiny_trial: TinyTrial, drive: Drive) -> Callable[..., tuple[list[Any], TrialResult]]:
    """The tiny trial with three folds, one epoch each."""

    def run(store: Any = None, **changes: Any) -> tuple[list[Any], TrialResult]:
        once = {"detect": {"folds": FOLDS}, "finetune": {"epochs": 1}} | changes
        return drive(run_trial(tiny_trial(**once), store or NullStore()))

    return run


def outcome(result: TrialResult) -> dict[str, Any]:
    return replace(result, seconds={}).to_json()


def test_a_trial_that_was_stopped_amid_its_folds_goes_on_to_the_same_result(
    run: Callable[..., Any], tiny_trial: TinyTrial, store: Store
) -> None:
    config = tiny_trial(detect={"folds": FOLDS}, finetune={"epochs": 1})
    events = run_trial(config, store)
    while not (
        isinstance(event := next(events), Tick) and event.stage == "fold" and event.done > 0.5
    ):
        pass
    events.close()
    assert sum(entry.stage == "fold" for entry in store.list()) == 1
    points, result = run(store)
    expected, uninterrupted = run()
    assert outcome(result) == outcome(uninterrupted)
    assert [getattr(p, "values", None) for p in points if isinstance(p, MetricPoint)] == [
        p.values for p in expected if isinstance(p, MetricPoint)
    ]
    assert result.seconds.keys() == {"pretrain", "finetune", "detect", "fold"}


def test_folds_change_nothing_else_and_use_what_is_there(
    run: Callable[..., Any], store: Store
) -> None:
    points, plain = run(store, detect={})
    before = {entry.digest for entry in store.list()}
    more, result = run(store)
    new = [entry.stage for entry in store.list() if entry.digest not in before]
    assert sorted(new) == ["detect_cv", "fold", "fold", "fold"]
    heard = [event for event in more if isinstance(event, MetricPoint)]
    assert [p.values for p in heard[: len(points)]] == [p.values for p in points]
    assert {**result.detection, **plain.detection} == result.detection
    assert {f"cv_{name}" for name in plain.detection} | plain.detection.keys() == set(
        result.detection
    )
    assert result.noise["train_matrix_estimate"] != result.noise["detection_matrix_estimate"]


@pytest.fixture(scope="module")
def filtered(
    tiny_trial: TinyTrial, drive: Drive, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], TrialResult]:
    """The trial from scratch under a filter; all but the filtering is computed once."""
    store = Store.open(tmp_path_factory.mktemp("stages"))

    def filtered(name: str) -> TrialResult:
        detect = {"folds": FOLDS, "filter_by": name}
        config = tiny_trial(detect=detect, pretrain={"method": "none"}, finetune={"epochs": 1})
        return drive(run_trial(config, store))[1]

    return filtered


@pytest.mark.parametrize("filter_by", FILTERS)
def test_every_filter_works_on_the_held_out_part_and_on_the_training_set(
    filtered: Callable[[str], TrialResult], filter_by: str
) -> None:
    detection = filtered(filter_by).detection
    for prefix in ("", "cv_"):
        for name in ("f1", "balanced_accuracy", "auroc", "flagged", "rate_estimate"):
            value = detection[prefix + name]
            assert value is not None
            assert 0 <= value <= 1
    assert torch.tensor(detection["cv_error_rate"]).isfinite()
