"""What is promised by whom; and plug-ins that break a promise of every kind, or a backbone's."""

from typing import Any, Literal

import pytest
from torch import nn

from noisetune.data.digits import Config as Digits
from noisetune.detectors.confident_learning import Config as ConfidentLearning
from noisetune.errors import UserError
from noisetune.finetuning.cross_entropy import Config as CrossEntropy
from noisetune.models._resnet import ResNet
from noisetune.models.base import Backbone
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.noise.symmetric import Config as Symmetric
from noisetune.plugins import PluginConfig
from noisetune.ssl.simclr import Config as SimCLR
from noisetune.testing import NeedsSettingsError, check, promises
from noisetune.testing import detectors as of_detectors
from noisetune.testing import every as of_every
from noisetune.testing import finetuning as of_finetuning
from noisetune.testing import models as of_models
from noisetune.testing import ssl as of_ssl
from noisetune.testing.promises import Check


class Restless(ResNet18):
    """Its features hang on the others of a batch."""

    def build(self, channels: int, size: Any) -> Backbone:
        backbone = super().build(channels, size)
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats, module.running_mean, module.running_var = (
                    False, None, None,
                )  # fmt: skip
        return backbone


class Unnamed(ResNet18):
    """Refuses a size, and names no field."""

    def build(self, channels: int, size: Any) -> Backbone:
        if size[0] < 16:
            raise UserError("too small")
        return super().build(channels, size)


class Layered(ResNet18):
    """Its layers begin after the stem."""

    def build(self, channels: int, size: Any) -> Backbone:
        return type("Layered", (ResNet,), {"by_depth": self.wrong})(
            self.block, self.blocks, channels, self.width
        )

    @staticmethod
    def wrong(backbone: ResNet) -> list[list[nn.Parameter]]:
        return ResNet.by_depth(backbone)[1:]


class Twice(Layered):
    """One layer is there twice."""

    @staticmethod
    def wrong(backbone: ResNet) -> list[list[nn.Parameter]]:
        first, *others = ResNet.by_depth(backbone)
        return [first, first, *others]


class TooSmall(ResNet18):
    """Says that it could be smaller than it can."""

    smallest = {"width": 512}


class Loose(PluginConfig):
    """Takes what it does not know."""

    model_config = {"extra": "ignore"}
    method: Literal["broken"] = "broken"


CASES: list[tuple[type[PluginConfig], Check, str]] = [
    (Restless, of_models.an_image_is_judged_by_itself_after_training, "not close"),
    (Unnamed, of_models.features_are_as_many_as_it_says, "must name the field"),
    (TooSmall, of_every.its_smallest_settings_are_valid_and_one_more, "513 must be valid"),
    (Layered, of_models.every_weight_is_in_one_layer, "stem.0.weight is in 0 of them"),
    (Twice, of_models.every_weight_is_in_one_layer, "stem.0.weight is in 2 of them"),
    (Loose, of_every.a_key_that_it_does_not_know_is_an_error, "no_such_key"),
]


@pytest.mark.parametrize(
    ("config", "promise", "reason"), CASES, ids=[each.__name__ for _, each, _ in CASES]
)
def test_a_broken_promise_is_seen(config: type[PluginConfig], promise: Check, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        promise(config)


@pytest.mark.parametrize(
    ("config", "base"),
    [
        (SimCLR, of_ssl),
        (ResNet18, of_models),
        (ConfidentLearning, of_detectors),
        (CrossEntropy, of_finetuning),
    ],
)
def test_a_plugin_is_held_to_what_its_kind_promises(config: Any, base: Any) -> None:
    modules = {each.__module__ for each in promises(config)}
    assert {base.__name__, of_every.__name__} <= modules
    assert not {each.__module__ for each in promises(Loose)} - {of_every.__name__}


@pytest.mark.parametrize("config", [Digits, Symmetric])
def test_settings_of_ones_own_are_looked_at(config: type[PluginConfig]) -> None:
    with pytest.raises(NeedsSettingsError, match=rf"{config.__module__}: .*no_such"):
        check(config, no_such=1)
