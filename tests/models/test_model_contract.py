"""What every backbone promises, those to come included."""

import pytest
import torch

from noisetune.config import PLUGINS
from noisetune.models.base import Backbone, Classifier
from noisetune.seeds import seeded_initialisation

NAMES = sorted(PLUGINS["model"])


def build(name: str, channels: int = 3, size: int = 16) -> Backbone:
    with seeded_initialisation("model", name):
        return PLUGINS["model"][name](**PLUGINS["model"][name].smallest).build(
            channels, (size, size)
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 32])
def test_features_are_as_many_as_it_says(name: str, channels: int, size: int) -> None:
    backbone = build(name, channels, size)
    features = backbone(torch.rand(2, channels, size, size))
    assert features.shape == (2, backbone.feature_dim)
    assert features.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_the_classifier_learns_all_of_its_weights(name: str) -> None:
    network = Classifier(build(name), classes=7)
    logits = network(torch.rand(4, 3, 16, 16))
    assert logits.shape == (4, 7)
    logits.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_its_weights_come_from_the_seed(name: str) -> None:
    first, second = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_judged_by_itself_after_training(name: str) -> None:
    backbone = build(name).eval()
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images)[1:2], backbone(images[1:2]))
