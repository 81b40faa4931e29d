"""Teachers against a plain loop, and what runs with a schedule that reads epochs share: nothing."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from noisetune.config import TrialConfig
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.seeds import seeded_initialisation
from noisetune.ssl import byol, dino, moco_v3
from noisetune.ssl._teacher import TeacherConfig
from noisetune.ssl.base import Batch, Learner, Progress
from noisetune.stages.pretrain import pretrain_key
from noisetune.testing import ssl as promises

CONFIGS: list[type[TeacherConfig]] = [byol.Config, moco_v3.Config, dino.Config]
SCHEDULES = ["constant", "cosine"]
Pair = tuple[list[nn.Parameter], list[nn.Parameter]]


def teacher_and_student(made: Learner) -> Pair:
    """Weights of both, in the same order."""
    if isinstance(made, dino.DINO):
        teacher, student = (made.encoder, made.teacher_head), (made.student, made.head)
        return (
            [weight for module in teacher for weight in module.parameters()],
            [*(w for module in student for w in module.parameters()), made.prototypes.directions],
        )
    assert isinstance(made, byol.BYOL | moco_v3.MoCo)
    modules = made.encoder, made.projector
    return list(made.teacher.parameters()), [w for each in modules for w in each.parameters()]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("config", CONFIGS)
def test_the_teacher_after_some_steps_is_that_of_a_plain_loop(
    config: type[TeacherConfig], schedule: str
) -> None:
    method = config(teacher_momentum=0.9, teacher_schedule=schedule, hidden=16)  # type: ignore[call-arg]
    with seeded_initialisation("teachers"):
        made = method.learner(ResNet18(width=4).build(1, (8, 8)))
    optimizer = method.build_optimizer(made, torch.device("cpu"))
    teacher, student = teacher_and_student(made)
    assert all(one.equal(other) for one, other in zip(teacher, student, strict=True))
    expected, steps = [weight.double() for weight in teacher], 5
    for step in range(1, steps + 1):
        views = torch.rand(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        made.loss(made(Batch(tuple(views)))).backward()
        optimizer.step()
        made.after_step(Progress(2 * step / steps, epochs=2))
        kept = 0.9
        if schedule == "cosine":
            kept = 1 - 0.1 * (math.cos(math.pi * step / steps) + 1) / 2
        expected = [
            kept * old + (1 - kept) * new.detach().double()
            for old, new in zip(expected, student, strict=True)
        ]
    for weight, wanted in zip(teacher, expected, strict=True):
        torch.testing.assert_close(weight.double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_with_a_schedule_it_goes_on_bit_for_bit_and_its_key_says_so(
    config: type[TeacherConfig],
) -> None:
    promises.a_run_goes_on_bit_for_bit(config, teacher_schedule="cosine")
    promises.its_key_says_whether_it_depends_on_its_length(config, teacher_schedule="cosine")


@pytest.mark.parametrize("method", ["byol", "moco_v3", "dino"])
def test_ten_epochs_are_no_beginning_of_twenty_where_the_schedule_reads_them(
    tiny_trial: Callable[..., TrialConfig], method: str
) -> None:
    def key(epochs: int, schedule: str) -> Any:
        trial = tiny_trial(
            pretrain={"method": method, "epochs": epochs, "teacher_schedule": schedule}
        )
        return pretrain_key(trial, trial.data.load())

    assert key(10, "constant") == key(20, "constant")
    assert key(10, "cosine") != key(20, "cosine")
    assert key(10, "constant") != key(10, "cosine")
