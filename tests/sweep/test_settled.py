"""Precision, memory format and compilation are one for a sweep, settled before it starts."""

from typing import Any

import pytest

from noisetune.models.base import ModelConfig
from noisetune.records import TrialRecord
from noisetune.sweep.config import parse_sweep
from noisetune.sweep.prepared import Sweep
from noisetune.sweep.settled import settle_runtime
from noisetune.sweep.space import SearchSpace
from noisetune.training import measured
from noisetune.training.runtime import Runtime

WIDTHS = {"conditions": {"model.width": [4, 8]}, "parameters": {}}
FAST = {"precision": "bf16", "channels_last": True}


def sweep(**runtime: Any) -> Sweep:
    trial = {
        "data": {"train_samples": 60, "test_samples": 30},
        "pretrain": {"method": "none"},
        "runtime": {"device": "cpu", **runtime},
    }
    raw = {"name": "mine", "search_space": "widths", "trial": trial, "replicates": 1}
    return Sweep.prepare(parse_sweep(raw, "the test"), SearchSpace.model_validate(WIDTHS))


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every measurement says bf16 with channels_last; the list has the measured models."""
    models: list[Any] = []

    def fastest(model: ModelConfig, shape: Any, runtime: Runtime) -> Runtime:
        models.append(model)
        left = {name: FAST[name] for name in FAST if getattr(runtime, name) == "auto"}
        return runtime.model_copy(update=left)

    monkeypatch.setenv("NOISETUNE_MEASURE", "1")
    monkeypatch.setattr(measured, "fastest", fastest)
    return models


def settings(settled: Sweep) -> list[tuple[Any, ...]]:
    """Precision, memory format and compilation of a trial of each condition."""
    runtimes = [each.trial({}).runtime for each in settled.conditions]
    return [(each.precision, each.channels_last, each.compile) for each in runtimes]


def test_the_largest_trial_settles_it_for_all(measures: list[Any]) -> None:
    written = sweep()
    settled = settle_runtime(written)
    assert settings(settled) == [("bf16", True, False)] * 2
    assert [model.width for model in measures] == [8]
    assert settled.definition() == written.definition()


def test_what_is_written_stays(measures: list[Any]) -> None:
    assert settings(settle_runtime(sweep(precision="fp32"))) == [("fp32", True, False)] * 2


def test_a_sweep_without_auto_is_the_same(measures: list[Any]) -> None:
    written = sweep(precision="fp32", channels_last=False, compile=True)
    assert settle_runtime(written) is written
    assert measures == []


def test_a_resume_keeps_what_its_trials_began_with(measures: list[Any]) -> None:
    began = {"device": "cpu", "precision": "fp32", "channels_last": False, "compile": True}
    record = TrialRecord(
        name="all search 0",
        condition="model.width=4",
        factors={},
        kind="search",
        number=0,
        state="complete",
        parameters={},
        config={"runtime": began},
    )
    assert settings(settle_runtime(sweep(), [record])) == [("fp32", False, True)] * 2
    assert measures == []
