"""BYOL's loss against lightly's, its teacher against a plain loop, and what its runs share."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import NegativeCosineSimilarity

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import Batch, Progress
from noisetune.ssl.byol import BYOL, Config, regression
from noisetune.stages.base import Checkpoint, Inputs, Stage
from noisetune.stages.labels import draw_labels
from noisetune.stages.pretrain import pretrain_key, pretrain_stage

TinyTrial = Callable[..., TrialConfig]
SCHEDULES = ["constant", "cosine"]


def method(**fields: Any) -> Config:
    return Config(hidden=16, projection=6, **fields)


def learner(**fields: Any) -> BYOL:
    with seeded_initialisation("byol"):
        return BYOL(ResNet18(width=4).build(1, (8, 8)), method(**fields))


def two_views(seed: int = 0) -> Batch:
    views = torch.rand(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(tuple(views))


@given(
    batch=st.integers(1, 40), width=st.integers(2, 40), seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.1, 100),
)  # fmt: skip
def test_value_and_gradient_equal_lightlys(batch: int, width: int, seed: int, scale: float) -> None:
    """|q - z|^2 of unit vectors is 2 + 2 times their negative cosine."""
    random = torch.Generator().manual_seed(seed)
    predictions, targets = scale * torch.randn(2, batch, width, generator=random)
    predictions.requires_grad_()
    losses = (
        regression(predictions, targets),
        2 + 2 * NegativeCosineSimilarity()(predictions, targets),
    )
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    gradients = (torch.autograd.grad(loss, predictions) for loss in losses)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def test_the_loss_is_of_both_directions() -> None:
    """Computed again from the parts: each view predicts what the teacher makes of the other."""
    made, batch = learner(), two_views()
    both = torch.cat(tuple(batch.views))
    student = torch.nn.Sequential(made.encoder, made.projector, made.predictor)
    predictions = [student(both)[part] for part in (slice(6), slice(6, None))]
    targets = made.teacher(both).chunk(2)
    cosine = NegativeCosineSimilarity()
    expected = 4 + 2 * (cosine(predictions[0], targets[1]) + cosine(predictions[1], targets[0]))
    torch.testing.assert_close(made.loss(made(batch)), expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_teacher_after_some_steps_is_that_of_a_plain_loop(schedule: str) -> None:
    made = learner(teacher_momentum=0.9, teacher_schedule=schedule)
    optimizer = made.method.build_optimizer(made, torch.device("cpu"))
    expected = [weight.double() for weight in made.teacher.parameters()]
    steps = 5
    for step in range(1, steps + 1):
        made.loss(made(two_views(step))).backward()
        optimizer.step()
        made.after_step(Progress(2 * step / steps, epochs=2))
        kept = (
            0.9 if schedule == "constant" else 1 - 0.1 * (math.cos(math.pi * step / steps) + 1) / 2
        )
        followed = [*made.encoder.parameters(), *made.projector.parameters()]
        expected = [
            kept * old + (1 - kept) * new.detach().double()
            for old, new in zip(expected, followed, strict=True)
        ]
    for weight, wanted in zip(made.teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_teacher_begins_as_the_student_and_is_another() -> None:
    made = learner()
    student = (*made.encoder.parameters(), *made.projector.parameters())
    for own, copied in zip(student, made.teacher.parameters(), strict=True):
        assert own.equal(copied)
        assert own.data_ptr() != copied.data_ptr()


def test_the_teacher_has_no_gradient_and_is_not_in_the_optimiser() -> None:
    made = learner()
    before = deepcopy(made.teacher)
    optimizer = made.method.build_optimizer(made, torch.device("cpu"))
    made.loss(made(two_views())).backward()
    optimizer.step()
    optimised = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    students = (*made.encoder.parameters(), *made.projector.parameters())
    assert optimised == {id(weight) for weight in (*students, *made.predictor.parameters())}
    assert all(weight.grad is not None for weight in students)
    for weight, old in zip(made.teacher.parameters(), before.parameters(), strict=True):
        assert weight.grad is None
        assert weight.equal(old)


def test_projector_and_predictor_have_one_hidden_layer() -> None:
    made = learner()
    for head, inputs in ((made.projector, 32), (made.predictor, 6)):
        shapes = [tuple(weight.shape) for weight in head.parameters() if weight.ndim == 2]
        assert shapes == [(16, inputs), (6, 16)]


@pytest.fixture
def staged(tiny_trial: TinyTrial) -> Callable[..., Stage]:
    """The pre-training of the tiny trial by BYOL, with its fields changed."""

    def staged(**fields: Any) -> Stage:
        config = tiny_trial(pretrain={"method": "byol", **fields})
        data = config.data.load()
        inputs = Inputs(config.resolve(), data, draw_labels(config, data))
        key = pretrain_key(config, data)
        assert key is not None
        return pretrain_stage(inputs, inputs.config.pretrain, key, config.pretrain.epochs)

    return staged


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_goes_on_from_a_checkpoint_bit_for_bit(
    staged: Callable[..., Stage], schedule: str
) -> None:
    stage = staged(epochs=4, teacher_schedule=schedule)
    events = list(stage.compute(None, lambda step: step == 2))
    middle, whole = (event for event in events if isinstance(event, Checkpoint))
    events = list(stage.compute((middle.step, middle.artifact), lambda step: False))
    (continued,) = (event for event in events if isinstance(event, Checkpoint))
    assert (middle.step, whole.step, continued.step) == (2, 4, 4)
    assert any(name.startswith("network.teacher.") for name in whole.artifact.tensors)
    for name, tensor in whole.artifact.tensors.items():
        assert tensor.equal(continued.artifact.tensors[name]), name


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ten_epochs_are_the_beginning_of_twenty_with_a_constant_momentum_alone(
    staged: Callable[..., Stage], schedule: str
) -> None:
    ten, twenty = (staged(epochs=epochs, teacher_schedule=schedule) for epochs in (10, 20))
    assert (ten.key == twenty.key) == (schedule == "constant")


@pytest.mark.parametrize("fields", [{"teacher_momentum": 0.5}, {"teacher_schedule": "cosine"}])
def test_the_teachers_settings_are_in_the_key(
    staged: Callable[..., Stage], fields: dict[str, Any]
) -> None:
    assert staged(**fields).key != staged().key


@pytest.mark.parametrize(
    "changes", [{"telemetry": {"epochs": [1]}}, {"pretrain": {"stop": {"patience": 2}}}], ids=str
)
def test_what_looks_at_a_prefix_is_refused_with_the_way_out(
    tiny_trial: TinyTrial, changes: dict[str, Any]
) -> None:
    def parse(schedule: str) -> TrialConfig:
        pretrain = {"method": "byol", "teacher_schedule": schedule, **changes.get("pretrain", {})}
        return tiny_trial(**changes | {"pretrain": pretrain})

    assert parse("constant").pretrain.horizon_free
    with pytest.raises(
        UserError, match=r"byol's schedule .* set (pretrain\.)?teacher_schedule: con"
    ):
        parse("cosine")


def test_its_cost_counts_the_teacher() -> None:
    """Two views there and back, and two a third of that: forward alone."""
    assert Config().passes(ResNet18(), (3, 32, 32)) == pytest.approx(2 * 1 + 2 * 1 / 3)
