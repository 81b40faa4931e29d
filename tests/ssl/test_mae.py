"""MAE's loss by hand, its masks by distribution, and what its encoder sees."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.vit_tiny import Config as ViT
from noisetune.pipeline import Options, run_trial
from noisetune.records import GATE, MetricPoint
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import Batch
from noisetune.ssl.mae import MAE, Config, patches_of, rebuilding
from noisetune.store import NullStore
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import undecayed
from noisetune.training.speed import forward_flops

SEEDS = st.integers(0, 2**32 - 1)


def learner(patch: int = 4, size: int = 16, **fields: Any) -> MAE:
    method = Config(decoder_depth=1, decoder_heads=1, **fields)
    with seeded_initialisation("mae"):
        made = method.learner(ViT(depth=1, patch=patch).build(3, (size, size)))
    assert isinstance(made, MAE)
    return made


def plain(rebuilt: Tensor, patches: Tensor, masked: Tensor, normalised: bool) -> Tensor:
    errors = []
    for image in range(len(patches)):
        for part in range(patches.shape[1]):
            if masked[image, part]:
                target = patches[image, part]
                if normalised:
                    target = (target - target.mean()) / (target.var() + 1e-6) ** 0.5
                errors.append(((rebuilt[image, part] - target) ** 2).mean())
    return torch.stack(errors).mean()


@given(seed=SEEDS, normalised=st.booleans(), visible=st.integers(1, 8))
def test_value_and_gradient_are_those_of_a_plain_loop(
    seed: int, normalised: bool, visible: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    rebuilt, patches = torch.randn(2, 3, 9, 12, generator=random)
    rebuilt.requires_grad_()
    masked = torch.rand(3, 9, generator=random).argsort(1) >= visible
    losses = [made(rebuilt, patches, masked, normalised) for made in (rebuilding, plain)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, rebuilt) for loss in losses))


@given(seed=SEEDS)
def test_patches_are_squares_row_by_row(seed: int) -> None:
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(seed))
    patches = patches_of(images, 4)
    assert patches.shape == (2, 6, 48)
    for part in range(6):
        row, column = divmod(part, 3)
        square = images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        torch.testing.assert_close(patches[:, part], square.flatten(1))


def test_masks_are_of_the_share_that_is_set_and_every_patch_is_as_likely() -> None:
    made, images = learner(masked=0.75), 2000
    draws = torch.rand(images, made.draws, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, _, masked = made(Batch([torch.zeros(images, 3, 16, 16)], draws=draws))
    assert made.draws == 16
    assert (masked.sum(1) == 12).all()
    # Four deviations of a share of 2,000.
    assert (masked.float().mean(0) - 0.75).abs().max() < 4 * (0.75 * 0.25 / images) ** 0.5


@pytest.mark.parametrize(
    ("patches", "share", "visible"), [(4, 0.99, 1), (4, 0.01, 3), (64, 0.75, 16)]
)
def test_some_patches_are_seen_and_not_all(patches: int, share: float, visible: int) -> None:
    assert Config(masked=share).visible(patches) == visible


def test_what_is_masked_is_not_seen() -> None:
    """Other pixels there change what is to be rebuilt, and nothing of what is."""
    made, random = learner().eval(), torch.Generator().manual_seed(0)
    images, draws = torch.rand(2, 3, 16, 16, generator=random), torch.rand(2, 16, generator=random)
    rebuilt, patches, masked = made(Batch([images], draws=draws))
    unfolded = torch.where(masked[:, :, None], torch.rand(2, 16, 48, generator=random), patches)
    changed = torch.nn.functional.fold(unfolded.mT, 16, 4, stride=4)
    again, others, _ = made(Batch([changed], draws=draws))
    torch.testing.assert_close(again, rebuilt)
    assert not others.equal(patches)


def test_its_encoder_costs_what_the_visible_patches_do() -> None:
    """A quarter of the patches and the class token, and a decoder: less than half of a pass."""
    model, shape = ViT(), (3, 32, 32)
    least = 16 / 64
    assert least < Config(decoder_depth=1, decoder_heads=1).passes(model, shape) < least + 0.05
    deeper = Config(decoder_depth=4).passes(model, shape) - Config(decoder_depth=2).passes(
        model, shape
    )
    # Two blocks: of each weight two operations a token; keys, queries, values and mixing of all.
    tokens, width = 65, 128
    block = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    assert deeper == pytest.approx(2 * block / forward_flops(model, shape), rel=1e-6)


def test_it_crops_and_flips_and_leaves_colours_alone() -> None:
    usual = AugmentConfig(
        crop_scale=(0.2, 1), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), grayscale=0.2, blur=0.5
    )
    assert Config().usual_augment(usual) == AugmentConfig(crop_scale=(0.2, 1), flip=0.5)


def test_tokens_and_positions_do_not_decay_where_weights_alone_do() -> None:
    made = learner()
    spared = undecayed(made)
    named = made.mask_token, made.positions, made.encoder.class_token, made.encoder.positions
    assert all(weight in spared for weight in named)
    assert made.inwards.weight not in spared


def mae(tiny_trial: Callable[..., TrialConfig], **fields: Any) -> TrialConfig:
    return tiny_trial(
        pretrain={"method": "mae", "epochs": 1, **fields}, model={"name": "vit_tiny", "depth": 1}
    )


def test_neighbours_neither_stop_nor_gate_it(
    tiny_trial: Callable[..., TrialConfig], drive: Callable[..., Any]
) -> None:
    with pytest.raises(UserError, match=r"stop: kNN accuracy says nothing of what method mae"):
        mae(tiny_trial, stop={"patience": 1})
    events, _ = drive(run_trial(mae(tiny_trial), store=NullStore(), options=Options(knn=True)))
    points = [each for each in events if isinstance(each, MetricPoint) and each.stage == GATE]
    assert [sorted(point.values) for point in points] == [
        ["pretrain/feature_deviation", "pretrain/rankme"]
    ]


def test_a_backbone_without_patches_is_refused(tiny_trial: Callable[..., TrialConfig]) -> None:
    with pytest.raises(UserError, match=r"method: mae: masks the patches .* resnet18 is none"):
        tiny_trial(pretrain={"method": "mae"})
