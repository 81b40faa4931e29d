"""Whose statistics batch normalisation takes: of both views, or of each."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from noisetune.config import TrialConfig
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import Batch, Learner, ProjectionConfig, SSLConfig
from noisetune.ssl.byol import Config as Byol
from noisetune.ssl.simclr import Config as SimCLR
from noisetune.stages.pretrain import pretrain_key

TinyTrial = Callable[..., TrialConfig]
METHODS = [SimCLR, Byol]


def learner(config: type[ProjectionConfig], batch_norm: str) -> Learner:
    method = config(hidden=16, projection=6, batch_norm=batch_norm)
    with seeded_initialisation("a learner"):
        return method.learner(ResNet18(width=4).build(1, (8, 8)))


def two_views() -> Batch:
    dark = torch.rand(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(tuple(dark * torch.tensor([0.1, 1.0]).reshape(2, 1, 1, 1, 1)))


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]


@pytest.mark.parametrize("config", METHODS)
def test_a_view_that_passes_alone_is_unmoved_by_the_other(config: type[ProjectionConfig]) -> None:
    first, second = two_views().views
    for batch_norm, same in (("per_view", True), ("joint", False)):
        one, other = (
            learner(config, batch_norm)(Batch((first, beside)))[0]
            for beside in (second, second.flip(3))
        )
        assert one.equal(other) == same


@pytest.mark.parametrize("config", METHODS)
def test_running_statistics_follow_each_pass(config: type[ProjectionConfig]) -> None:
    for batch_norm, passes in (("joint", 1), ("per_view", 2)):
        made = learner(config, batch_norm)
        made(two_views())
        counted = {int(each.num_batches_tracked) for each in norms(made)}
        assert counted == {passes}


@pytest.mark.parametrize("config", METHODS)
def test_outputs_come_in_the_same_order_and_shape(config: type[ProjectionConfig]) -> None:
    """Without batch statistics both ways are the same."""
    joint, per_view = (learner(config, each).eval()(two_views()) for each in ("joint", "per_view"))
    for one, other in zip(joint, per_view, strict=True):
        torch.testing.assert_close(one, other)


def test_it_is_in_the_key_and_costs_the_same(tiny_trial: TinyTrial) -> None:
    trials = [
        tiny_trial(pretrain={"method": "simclr", "batch_norm": each})
        for each in ("joint", "per_view")
    ]
    one, other = (pretrain_key(trial, trial.data.load()) for trial in trials)
    assert one != other
    costs = [
        trial.pretrain.passes(trial.model, trial.data.load().shape)
        for trial in trials
        if isinstance(trial.pretrain, SSLConfig)
    ]
    assert costs == [2, 2]
