"""Wide residual networks: their sizes as papers count them, and where dropout stands."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from noisetune.models.base import Classifier
from noisetune.models.wide_resnet import Config
from noisetune.testing import promises
from noisetune.testing.promises import Check
from noisetune.training.speed import forward_flops


@pytest.mark.parametrize(
    ("depth", "widen", "weights"),
    [(28, 10, 36_479_194), (28, 2, 1_467_610), (16, 8, 10_961_370), (40, 4, 8_949_210)],
)
def test_it_has_the_weights_that_papers_count(depth: int, widen: int, weights: int) -> None:
    """36.5, 1.5, 11.0 and 8.9 million with a classifier of 10 classes (table 4)."""
    with torch.device("meta"):
        network = Classifier(Config(depth=depth, widen=widen).build(3, (32, 32)), 10)
    assert sum(each.numel() for each in network.parameters()) == weights
    assert network.backbone.feature_dim == 64 * widen


def test_its_depth_counts_its_convolutions() -> None:
    modules = Config(depth=28, widen=2).build(3, (32, 32)).modules()
    assert len([each for each in modules if isinstance(each, nn.Conv2d)]) == 28


def test_stages_halve_the_sides_twice() -> None:
    backbone = Config(depth=10, widen=1).build(1, (12, 12)).eval()
    assert backbone.stages(backbone.stem(torch.rand(2, 1, 12, 12))).shape == (2, 64, 3, 3)


@pytest.mark.parametrize("depth", [11, 27, 29, 9, 4])
def test_a_depth_of_no_whole_blocks_is_refused(depth: int) -> None:
    with pytest.raises(ValidationError, match=r"take 10 or 16|take 22 or 28|take 28 or 34|than or"):
        Config(depth=depth)


def test_dropout_stands_before_each_second_convolution_and_costs_no_weight() -> None:
    plain, other = (Config(depth=10, widen=1, dropout=rate) for rate in (0.0, 0.3))
    assert forward_flops(plain, (3, 16, 16)) == forward_flops(other, (3, 16, 16))
    backbone = other.build(3, (16, 16))
    drawn = [name for name in backbone.state_dict() if "drawn" in name]
    assert len(drawn) == 3
    assert plain.state(3, (16, 16)).keys() == backbone.state_dict().keys() - set(drawn)
    images = torch.rand(8, 3, 16, 16)
    assert not backbone(images).equal(backbone(images))
    assert backbone.eval()(images).equal(backbone(images))


@pytest.mark.parametrize("promise", promises(Config))
def test_with_dropout_it_keeps_its_promises(promise: Check) -> None:
    promise(Config, depth=10, dropout=0.3)
