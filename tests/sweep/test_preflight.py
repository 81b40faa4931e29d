"""What a sweep refuses of its noise before anything starts."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from noisetune.datasets import Datasets
from noisetune.errors import UserError
from noisetune.sweep.preflight import preflight
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.training import memory_format

TRUE = {"matrix": "true", "oracle": True}


def looked_at(
    noise: dict[str, Any],
    datasets: Datasets | None = None,
    space: dict[str, Any] | None = None,
    **trial: Any,
) -> None:
    raw = {"name": "x", "search_space": "x", "trial": {"noise": noise, **trial}}
    prepared = Sweep.prepare(parse_sweep(raw, "x.yaml"), SearchSpace.model_validate(space or {}))
    preflight(prepared, datasets=datasets)


def confusing(own: float) -> list[list[float]]:
    """Every class keeps its own label with chance `own`, or is the next one."""
    return (own * np.eye(10) + (1 - own) * np.roll(np.eye(10), 1, axis=1)).tolist()


@pytest.mark.parametrize("protocol", ["standard", "paper"])
def test_confusions_that_the_classes_say_nothing_of_are_refused(protocol: str) -> None:
    with pytest.raises(UserError, match=r"asymmetric knows .*0, 1, 2"):
        looked_at({"model": "asymmetric"}, protocol=protocol)


def test_a_backbone_that_cannot_take_the_images_is_refused() -> None:
    model = {"name": "vit_tiny", "depth": 1}
    looked_at({}, model=model)
    with pytest.raises(UserError, match=r"^model.patch: 3: .* 8x8 pixels; choose one of 1, 2, 4, "):
        looked_at({}, model={**model, "patch": 3})


def test_views_that_are_too_small_for_the_backbone_are_refused() -> None:
    """Of digits a small crop has 4x4 pixels."""
    model = {"name": "convnext_tiny", "width": 4, "patch": 1}
    looked_at({}, model=model, pretrain={"method": "dino", "local_views": 0})
    with pytest.raises(UserError, match=r"dino: model convnext_tiny cannot take its views of 4x4"):
        looked_at({}, model=model, pretrain={"method": "dino"})


def test_a_matrix_that_hides_the_right_class_tells_nothing() -> None:
    looked_at({"model": "transition", "matrix": confusing(0.55)})
    with pytest.raises(UserError, match="a wrong label is as frequent as the right one"):
        looked_at({"model": "transition", "matrix": confusing(0.5)})


def test_human_labels_of_other_images_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "human.npz", clean=np.zeros(1437, int), worse=np.zeros(1437, int))
    with pytest.raises(UserError, match="the order differs"):
        looked_at({"model": "human", "labels": "worse", "path": str(tmp_path / "human.npz")})


def test_the_true_matrix_of_labels_that_nobody_knows_is_refused() -> None:
    """The trial's own noise comes on top of what was wrong before."""
    unknown: Any = SimpleNamespace(
        load=lambda data: replace(data.load(), labels_clean=False), fetch=True
    )
    looked_at({"rate": 0.1}, unknown, finetune={"method": "forward"})
    with pytest.raises(UserError, match="nobody knows which training labels of data digits are wr"):
        looked_at({"rate": 0.1}, unknown, finetune={"method": "forward", **TRUE})


def test_every_corner_of_a_space_is_asked_whether_it_reads_the_truth() -> None:
    instance = {"conditions": {"noise.model": ["symmetric", "instance"]}}
    with pytest.raises(UserError, match="instance noise is not all in one"):
        looked_at({}, space=instance, finetune={"method": "forward", **TRUE})


def test_the_papers_noise_at_a_high_rate_tells_something_still() -> None:
    looked_at({"rate": 0.8}, protocol="paper")
    with pytest.raises(UserError, match="as frequent"):
        looked_at({"rate": 0.85}, protocol="paper")


def test_a_memory_format_that_the_cpu_fails_at_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = {"device": "cpu", "precision": "fp32", "channels_last": True}
    looked_at({"rate": 0.3}, runtime=runtime, model={"width": 16})
    monkeypatch.setattr(memory_format, "overruns", lambda model, shape: model.width == 4)
    with pytest.raises(UserError, match=r"runtime\.channels_last: true"):
        looked_at({"rate": 0.3}, runtime=runtime, model={"width": 4})


@pytest.mark.parametrize(
    ("data", "trial", "problem"),
    [
        ({"train_samples": 2}, {}, "data: 2 training images are too few"),
        ({"train_samples": 5}, {"detect": {"folds": 2}}, "detect.folds: 2 folds of 5 training"),
    ],
)
def test_too_few_images_are_refused_before_anything_starts(
    data: dict[str, Any], trial: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        looked_at({"rate": 0.2}, data=data, **trial)
