"""The tiny vision transformer against torchvision's class, and what it says of its images."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from noisetune.errors import UserError
from noisetune.models._vit import ViT
from noisetune.models.base import Size
from noisetune.models.vit_tiny import Config
from noisetune.seeds import seeded_initialisation
from noisetune.training.runtime import Runtime


def build(size: Size = (8, 8), channels: int = 3, **fields: Any) -> ViT:
    with seeded_initialisation("vit"):
        backbone = Config(**{"depth": 2, **fields}).build(channels, size)
    assert isinstance(backbone, ViT)
    return backbone.eval()


def torchvisions(ours: ViT) -> VisionTransformer:
    """torchvision's transformer of the same settings, with our weights in it."""
    reference = VisionTransformer(
        image_size=8, patch_size=4, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=768
    ).eval()
    reference.heads = nn.Identity()
    state = ours.state_dict()
    apart = {"class_token": "class_token", "encoder.pos_embedding": "positions"}
    theirs = [name for name in reference.state_dict() if name not in apart]
    rest = [tensor for name, tensor in state.items() if name not in apart.values()]
    given = dict(zip(theirs, rest, strict=True)) | {name: state[own] for name, own in apart.items()}
    reference.load_state_dict(given)
    return reference


def test_it_is_torchvisions_transformer() -> None:
    ours = build()
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        images = torch.rand(5, 3, 8, 8)
        torch.testing.assert_close(ours(images), torchvisions(ours)(images))


def test_it_is_the_tiny_one() -> None:
    """Twelve blocks of width 192; without the classifier 5.4 million weights at 32x32."""
    state = Config().state(3, (32, 32))
    assert sum(tensor.numel() for tensor in state.values()) == 5_360_832
    assert state["positions"].shape == (1, 1 + 8 * 8, 192)
    assert Config().build(1, (8, 8)).feature_dim == 192


def test_a_patchs_token_is_the_patchs() -> None:
    """Row by row: with no block and no position left, a token depends on its own patch alone."""
    vit = build((8, 12), 1)
    vit.blocks = nn.Sequential()
    images = torch.rand(1, 1, 8, 12)
    changed = images.clone()
    changed[:, :, 4:, 4:8] += 1
    with torch.no_grad():
        tokens, others = vit.tokens(images), vit.tokens(changed)
    assert tokens.shape == (1, 2 * 3, 192)
    moved = (tokens != others).any(dim=2)[0]
    assert moved.tolist() == [False, False, False, False, True, False]


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_features_are_the_class_token_or_the_mean_of_the_patches(pool: str) -> None:
    vit, images = build(pool=pool), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        tokens, features = vit.tokens(images), vit(images)
    assert features.equal(tokens.mean(1)) == (pool == "mean")


@given(side=st.integers(1, 64), other=st.integers(1, 64), patch=st.integers(1, 16))
def test_a_patch_that_does_not_divide_the_images_is_refused_with_those_that_do(
    side: int, other: int, patch: int
) -> None:
    config = Config(patch=patch, depth=1)
    if side % patch == other % patch == 0:
        assert config.state(1, (side, other))["positions"].shape[1] == 1 + side * other // patch**2
        return
    with pytest.raises(UserError, match=rf"^model.patch: {patch}: .*{side}x{other} pix") as refused:
        config.build(1, (side, other))
    offered = [int(each) for each in str(refused.value).split("one of ")[1].split(", ")]
    assert 1 in offered
    assert all(side % each == other % each == 0 for each in offered)


def test_views_of_another_size_have_the_positions_between() -> None:
    """A smooth field of positions stays one: here a plane, in the middle of whose patches it is."""
    vit = build((16, 16))
    rows = torch.arange(4.0)[:, None].expand(4, 4)
    with torch.no_grad():
        vit.positions[:, 1:] = rows.reshape(1, 16, 1)
        between = vit._positions((8, 4))[0, 1:, 0].reshape(8, 4)
        assert vit(torch.rand(2, 3, 32, 8)).shape == (2, 192)
    torch.testing.assert_close(between[3:5, 0], torch.tensor([1.25, 1.75]), atol=0.05, rtol=0)
    assert vit._positions((4, 4)) is vit.positions


def test_weights_begin_small_and_biases_at_zero() -> None:
    vit = build((32, 32), depth=4)
    linear = [layer for layer in vit.modules() if isinstance(layer, nn.Linear)]
    for weight in (vit.positions, *(layer.weight for layer in linear)):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not any(layer.bias.any() for layer in linear)
    assert len(linear) == 4 * 4


def gradients(vit: ViT, images: Tensor, runtime: Runtime) -> list[Tensor]:
    runtime.place(vit).zero_grad()
    with runtime.autocast():
        features = vit(runtime.arrange(images))
    # Not of all of them: the last normalisation leaves the sum of their squares no gradient.
    features.float()[:, ::3].square().sum().backward()
    return [weight.grad.clone() for weight in vit.parameters() if weight.grad is not None]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_and_memory_format_change_rounding_alone(precision: str) -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, other = (
        gradients(build(), images, Runtime(device="cpu", precision=chosen, channels_last=last))
        for chosen, last in (("fp32", False), (precision, True))
    )
    assert len(plain) == len(other) == len(list(build().parameters()))
    tolerance = 1e-4 if precision == "fp32" else 0.1
    for wanted, got in zip(plain, other, strict=True):
        assert (got - wanted).norm() <= tolerance * wanted.norm() + 1e-5
