"""The pre-activation network against its equations, written down layer by layer."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisetune.models._preact import Dropout, PreActBlock, PreActResNet
from noisetune.models.base import Classifier
from noisetune.models.preact_resnet18 import Config
from noisetune.seeds import seeded_initialisation


def build(**fields: Any) -> PreActResNet:
    """One whose running statistics and normalisations are those of no initialisation."""
    with seeded_initialisation("preact"):
        backbone = Config(width=4, **fields).build(3, (16, 16)).eval()
        for tensor in backbone.state_dict().values():
            if tensor.ndim == 1:
                nn.init.uniform_(tensor, 0.5, 1.5)
    return backbone


def rectified(state: dict[str, Tensor], name: str, planes: Tensor) -> Tensor:
    """Batch normalisation by the running statistics, and ReLU."""
    mean, var, gain, shift = (
        state[f"{name}.0.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((planes - mean) / (var + 1e-5).sqrt() * gain + shift).clamp(min=0)


def block(state: dict[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    """x + F(x) of He et al. 2016, arXiv 1603.05027, figure 1b and section 4.1."""
    active = rectified(state, f"{name}.first", x)
    inner = F.conv2d(active, state[f"{name}.conv1.weight"], stride=stride, padding=1)
    inner = rectified(state, f"{name}.second", inner)
    inner = F.conv2d(inner, state[f"{name}.conv2.weight"], padding=1)
    shortcut = state.get(f"{name}.shortcut.weight")
    return inner + (x if shortcut is None else F.conv2d(active, shortcut, stride=stride))


def test_it_is_the_papers_network() -> None:
    backbone, images = build(), torch.rand(2, 3, 16, 16)
    state = backbone.state_dict()
    x = F.conv2d(images, state["stem.weight"], padding=1)
    for stage in range(4):
        for number in range(2):
            x = block(state, f"stages.{stage}.{number}", x, 2 if stage and not number else 1)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), rectified(state, "last", x).mean((2, 3)))


def test_it_has_the_weights_that_papers_count() -> None:
    """11.17 million with a classifier of 10 classes."""
    backbone = Config().build(3, (32, 32))
    weights = sum(each.numel() for each in Classifier(backbone, 10).parameters())
    assert round(weights / 1e6, 2) == 11.17
    assert weights == 11_171_146 + 2 * 512  # those of the last normalisation beside the usual code
    assert backbone.feature_dim == 512


def test_layers_are_the_stem_and_each_block_with_the_norm_after_the_last() -> None:
    layers = build().by_depth()
    assert [len(layer) for layer in layers] == [1, 6, 6, 7, 6, 7, 6, 7, 8]


def dropout(rate: float, seed: int = 0) -> Dropout:
    with seeded_initialisation(seed):
        return Dropout(rate)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.9])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(rate: float) -> None:
    """Neighbours, of any dimension and of the next batch, go together by chance alone."""
    layer, ones = dropout(rate), torch.ones(64, 16, 8, 8)
    kept = torch.stack([layer(ones) for _ in range(4)])
    assert torch.unique(kept).allclose(torch.tensor([0, 1 / (1 - rate)]))
    assert kept.mean().item() == pytest.approx(1, abs=6 * (rate / (1 - rate) / kept.numel()) ** 0.5)
    truth = (kept > 0).double() - (1 - rate)
    for dimension in range(truth.ndim):
        others = truth.roll(1, dimension)
        together = (truth * others).mean().item()
        assert together == pytest.approx(0, abs=6 * rate * (1 - rate) / truth.numel() ** 0.5)


def test_dropout_draws_anew_from_its_own_state_alone() -> None:
    layer, ones = dropout(0.5), torch.ones(2, 3, 4, 4)
    kept = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    torch.manual_seed(1)
    first, second = layer(ones), layer(ones)
    assert not first.equal(second)
    other = dropout(0.5, seed=1)
    assert not other(ones).equal(first)
    other.load_state_dict(kept)
    torch.manual_seed(2)
    assert other(ones).equal(first)
    assert other.eval()(ones) is ones


def test_the_gradient_flows_where_dropout_kept() -> None:
    layer, values = dropout(0.5), torch.rand(2, 3, 4, 4, requires_grad=True)
    made = layer(values)
    made.sum().backward()
    assert values.grad.equal((made > 0) * 2.0)


def test_without_dropout_there_is_no_state_of_it() -> None:
    assert not any("drop" in name for name in PreActBlock(4, 4, 1, 0.0).state_dict())
    assert "dropout.drawn" in PreActBlock(4, 4, 1, 0.1).state_dict()
