"""DINO's loss and centre against lightly's, its crops, and its prototypes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import DINOLoss
from pydantic import ValidationError

from noisetune.models.resnet18 import Config as ResNet18
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import Batch, Progress
from noisetune.ssl.dino import DINO, Config, Prototypes
from noisetune.training.augment import Augment, AugmentConfig


def learner(**fields: float) -> DINO:
    method = Config.model_validate({"hidden": 8, "bottleneck": 4, "prototypes": 12} | fields)
    with seeded_initialisation("dino"):
        return DINO(ResNet18(width=4).build(1, (8, 8)), method)


@given(
    views=st.integers(2, 6), batch=st.integers(1, 8), seed=st.integers(0, 2**32 - 1),
    student=st.floats(0.05, 1), teacher=st.floats(0.05, 1), momentum=st.floats(0, 0.99),
)  # fmt: skip
def test_value_gradient_and_centre_are_lightlys_step_by_step(
    views: int, batch: int, seed: int, student: float, teacher: float, momentum: float
) -> None:
    random = torch.Generator().manual_seed(seed)
    made = learner(
        student_temperature=student, teacher_temperature=teacher, centre_momentum=momentum
    )
    theirs = DINOLoss(
        12, teacher_temp=teacher, student_temp=student, center_momentum=momentum
    )  # fmt: skip
    for _ in range(3):
        ours = torch.randn(views, batch, 12, generator=random, requires_grad=True)
        targets = torch.randn(2, batch, 12, generator=random)
        losses = made.loss((ours, targets)), theirs(list(targets), list(ours))
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
        gradients = (torch.autograd.grad(loss, ours, retain_graph=True) for loss in losses)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(made.centre, theirs.center.reshape(-1), rtol=1e-4, atol=1e-5)


def test_crops_show_the_shares_that_they_say_in_the_sizes_that_they_say() -> None:
    """Of squares of a large image, so that rounding to pixels and clipping move little."""
    method = Config(local_views=3, local_size=0.5, global_scale=(0.4, 1.0), local_scale=(0.1, 0.4))
    usual = AugmentConfig(crop_scale=(0.2, 1.0), crop_ratio=(1.0, 1.0))
    views = method.views(usual)
    assert [view.scale for view in views] == [1, 1, 0.5, 0.5, 0.5]
    random = torch.Generator().manual_seed(0)
    for view, (low, high) in zip(views, [(0.4, 1.0)] * 2 + [(0.1, 0.4)] * 3, strict=True):
        box = Augment(view.augment, (400, 400)).sample(2000, random).box
        assert box is not None
        shares = (box[:, 2] * box[:, 3]) / 400**2
        assert shares.min() > low - 0.01
        assert shares.max() < high + 0.01
        assert shares.mean() == pytest.approx((low + high) / 2, abs=0.02)


def test_the_teacher_sees_the_large_crops_alone() -> None:
    made = learner().eval()
    random = torch.Generator().manual_seed(0)
    large, small = torch.rand(2, 3, 1, 8, 8, generator=random), torch.rand(6, 3, 1, 4, 4)
    student, teacher = made(Batch([*large, *small]))
    assert (student.shape, teacher.shape) == ((8, 3, 12), (2, 3, 12))
    # The teacher began as a copy: of what both see they say the same.
    torch.testing.assert_close(student[:2], teacher)


def test_prototypes_are_directions_and_stay_for_the_first_epochs() -> None:
    made = learner(frozen_epochs=1)
    vectors = torch.randn(5, 4)
    torch.testing.assert_close(made.prototypes(3 * vectors), made.prototypes(vectors))
    assert isinstance(made.prototypes, Prototypes)
    assert made.prototypes(vectors).abs().max() <= 1 + 1e-6
    for epoch, moves in ((0.5, False), (1.5, True)):
        made.before_step(Progress(epoch, None))
        assert made.prototypes.directions.requires_grad == moves


def test_similarities_are_of_full_precision_whatever_the_runtimes_is() -> None:
    prototypes, vectors = learner().prototypes, torch.randn(5, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = prototypes(vectors)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, prototypes(vectors.float()))


def test_the_encoder_that_is_kept_is_the_teachers() -> None:
    made = learner(teacher_momentum=0.5)
    with torch.no_grad():
        for weight in made.student.parameters():
            weight.add_(1)
    before = [weight.clone() for weight in made.encoder.parameters()]
    made.after_step(Progress(1, None))
    for old, weight in zip(before, made.encoder.parameters(), strict=True):
        torch.testing.assert_close(weight, old + 0.5)


@pytest.mark.parametrize("field", ["global_scale", "local_scale"])
def test_shares_the_wrong_way_round_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=rf"{field}: the lower bound 0\.5 is above"):
        Config.model_validate({field: (0.5, 0.2)})
