"""Precision, memory format and compilation are one for a sweep, settled before it starts."""

import sys
from dataclasses import replace
from typing import Any

import pytest
import ray
import torch

from noisetune.models.base import ModelConfig
from noisetune.records import TrialRecord
from noisetune.sweep.resources import auto_runtime as settled
from noisetune.sweep.resources.auto_runtime import settle_runtime
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.training import memory_format
from noisetune.training import speed as measured
from noisetune.training.runtime import Runtime

WIDTHS = {"conditions": {"model.width": [16, 32]}, "parameters": {}}
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

    def fastest(model: ModelConfig, shape: Any, runtime: Runtime, batch: int) -> Runtime:
        models.append(model)
        left = {name: FAST[name] for name in FAST if getattr(runtime, name) == "auto"}
        return runtime.model_copy(update=left)

    monkeypatch.setenv("NOISETUNE_MEASURE", "1")
    monkeypatch.setattr(measured, "fastest", fastest)
    return models


def settings(sweep: Sweep) -> list[tuple[Any, ...]]:
    """Precision, memory format and compilation of a trial of each condition."""
    runtimes = [each.trial({}).runtime for each in sweep.conditions]
    return [(each.precision, each.channels_last, each.compile) for each in runtimes]


def test_the_largest_trial_settles_it_for_all(measures: list[Any]) -> None:
    written = sweep()
    found = settle_runtime(written)
    assert settings(found) == [("bf16", True, False)] * 2
    assert [model.width for model in measures] == [32]
    assert found.definition() == written.definition()


def test_what_the_smallest_network_fails_at_is_for_none(
    measures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_format, "overruns", lambda model, shape: model.width == 16)
    assert settings(settle_runtime(sweep(precision="fp32"))) == [("fp32", False, False)] * 2


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
        condition="model.width=16",
        factors={},
        kind="search",
        number=0,
        state="complete",
        parameters={},
        config={"runtime": began},
    )
    assert settings(settle_runtime(sweep(), [record])) == [("fp32", False, True)] * 2
    assert measures == []


def gpu_host(trial: dict[str, Any], cpu: float, gpu: float) -> dict[str, Any]:
    """What a host with a GPU says, if the share is held there."""
    held = ray.get_runtime_context().get_assigned_resources()
    device = "cuda" if held.get("GPU") == gpu else "cpu"
    found = {"device": device, "precision": "bf16", "channels_last": True, "compile": False}
    return trial["runtime"] | found | {"threads": 1}


def test_a_driver_without_a_gpu_asks_a_host_that_has_one(
    ray_at_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(settled, "_there", gpu_host)
    written = sweep(device="auto")
    share = written.config.resources.model_copy(update={"gpu": 0.5})
    config = written.config.model_copy(update={"resources": share})
    found = settle_runtime(replace(written, config=config))
    assert settings(found) == [("bf16", True, False)] * 2
    trials = [each.trial({}).resolve(1, 0.5) for each in found.conditions]
    assert [trial.runtime.device for trial in trials] == ["cuda", "cuda"]


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_declared_gpu_that_is_none_settles_on_the_cpu(ray_at_hand: None) -> None:
    written = sweep(device="auto")
    share = written.config.resources.model_copy(update={"gpu": 0.5})
    config = written.config.model_copy(update={"resources": share})
    found = settle_runtime(replace(written, config=config))
    assert [each.trial({}).runtime.device for each in found.conditions] == ["cpu", "cpu"]
