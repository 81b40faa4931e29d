"""`pretrain.stop` in the pipeline, where kNN accuracy says what a test wants it to."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from noisetune import pipeline
from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.records import MetricPoint, TrialResult
from noisetune.store import NullStore, Store, StoreLike

EPOCHS, EVERY = 7, 2
Run = Callable[..., tuple[list[MetricPoint], TrialResult]]


@pytest.fixture
def run(
    tiny_trial: Callable[..., TrialConfig],
    drive: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """A trial that stops by these accuracies at epochs 2, 4, 6 and 7; without any, at none."""

    def run(
        accuracies: Iterable[float] = (),
        store: StoreLike | None = None,
        patience: int = 1,
        **pretrain: Any,
    ) -> tuple[list[MetricPoint], TrialResult]:
        script = list(accuracies)
        monkeypatch.setattr(pipeline, "noisy_knn", lambda *_: script.pop(0))
        stop = {"stop": {"metric": "knn", "patience": patience, "every": EVERY}} if script else {}
        config = tiny_trial(pretrain={"epochs": EPOCHS} | stop | pretrain)
        pulled = drive(run_trial(config, store or NullStore()))
        assert script == []
        return pulled

    return run


def epochs(points: list[MetricPoint], stage: str = "pretrain") -> list[int]:
    return [point.step for point in points if point.stage == stage]


def told(points: list[MetricPoint]) -> list[tuple[str, int, Any]]:
    return [(point.stage, point.step, point.values) for point in points]


@pytest.mark.parametrize(
    ("accuracies", "patience", "last"),
    [
        ([0.3, 0.3], 1, 4),
        ([0.3, 0.2], 1, 4),
        ([0.2, 0.3, 0.3], 1, 6),
        ([0.3, 0.2, 0.3], 2, 6),
        ([0.3, 0.2, 0.4, 0.4], 2, 7),
        ([0.1, 0.2, 0.3, 0.4], 1, 7),
        ([0.4, 0.3, 0.2, 0.1], 9, 7),
    ],
)
@pytest.mark.parametrize("kept", [True, False], ids=["a store", "no store"])
def test_it_ends_once_the_accuracy_stands_still(
    run: Run, store: Store, kept: bool, accuracies: list[float], patience: int, last: int
) -> None:
    points, _ = run(accuracies, store if kept else None, patience)
    assert epochs(points) == list(range(1, last + 1))
    assert epochs(points, "gate") == [last]


def test_the_store_changes_no_result(run: Run, store: Store) -> None:
    points, result = run([0.2, 0.3, 0.3])
    for _ in range(2):
        others, other = run([0.2, 0.3, 0.3], store)
        assert told(others) == told(points)
        assert (other.epochs, other.detection) == (result.epochs, result.detection)


def test_a_stopped_run_is_one_that_was_meant_to_be_that_short(run: Run) -> None:
    stopped, result = run([0.3, 0.3])
    short, other = run(epochs=4)
    assert told(stopped) == told(short)
    assert (result.epochs, result.detection) == (other.epochs, other.detection)


def test_its_encoder_serves_a_trial_of_that_many_epochs(
    run: Run, store: Store, computed: list[str]
) -> None:
    run([0.2, 0.3, 0.3], store)
    computed.clear()
    run(store=store, epochs=6)
    assert computed == []
    run(store=store, epochs=4)
    assert computed == ["finetune", "detect"]


def test_a_longer_run_goes_on_where_it_stopped(run: Run, store: Store) -> None:
    stopped, _ = run([0.3, 0.3], store)
    longer, _ = run(store=store)
    uninterrupted, _ = run()
    assert longer[:4] == stopped[:4]
    assert told(longer) == told(uninterrupted)


def test_the_same_trial_again_computes_nothing(run: Run, store: Store, computed: list[str]) -> None:
    first, _ = run([0.3, 0.3], store)
    computed.clear()
    again, _ = run([0.3, 0.3], store)
    assert computed == []
    assert epochs(again) == epochs(first)


def test_a_schedule_that_looks_ahead_cannot_stop(tiny_trial: Callable[..., TrialConfig]) -> None:
    with pytest.raises(UserError, match=r"pretrain.*stop: a cosine schedule must run to its last"):
        tiny_trial(pretrain={"schedule": "cosine", "stop": {"metric": "knn"}})


@pytest.mark.parametrize(
    "stop", [{"patience": 0}, {"every": 0}, {"metric": "accuracy"}, {"patiense": 2}], ids=str
)
def test_a_stop_that_makes_no_sense_is_refused(
    tiny_trial: Callable[..., TrialConfig], stop: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=rf"pretrain.*stop\.{next(iter(stop))}"):
        tiny_trial(pretrain={"stop": stop})
