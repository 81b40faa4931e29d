"""ResNet50 against torchvision's, layer by layer."""

from pathlib import Path

import pytest
import torch
import torchvision
from published_networks import resnet_with_statistics
from torch import nn

from noisetune.models.resnet50 import Config
from noisetune.ssl.imagenet import Config as ImageNet
from noisetune.store import NullStore


@pytest.fixture(scope="module")
def theirs() -> torchvision.models.ResNet:
    return resnet_with_statistics("resnet50")


def test_layer_by_layer_it_computes_what_torchvisions_network_does(
    theirs: torchvision.models.ResNet, tmp_path: Path
) -> None:
    """With the weights as `pretrain: {method: imagenet}` reads them, by torchvision's names."""
    torch.save(theirs.state_dict(), tmp_path / "resnet50.pth")
    given = ImageNet(path=tmp_path / "resnet50.pth")
    ours = Config().build(3, (8, 8)).eval()
    ours.load_state_dict(given.encoder(Config(), 3, (8, 8), NullStore()))
    features = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert ours.stem[1](features).equal(theirs.bn1(features))
        layers = (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4)
        for stage, layer in zip(ours.stages, layers, strict=True):
            expected = layer(features)
            assert stage(features).equal(expected)
            features = expected


@pytest.mark.parametrize("stem", ["small", "large"])
def test_it_is_torchvisions_network_with_either_stem(
    theirs: torchvision.models.ResNet, stem: str
) -> None:
    reference = torchvision.models.resnet50(weights=None).eval()
    reference.load_state_dict(theirs.state_dict())
    reference.fc = nn.Identity()
    if stem == "small":
        reference.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        reference.maxpool = nn.Identity()
    ours = Config(stem=stem).build(3, (32, 32)).eval()
    weights = zip(ours.state_dict(), reference.state_dict().values(), strict=True)
    ours.load_state_dict(dict(weights))
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference(images))


def test_its_weights_are_those_that_torchvision_publishes() -> None:
    published = Config().published()
    assert published.architecture == "resnet50"
    assert published.weights is torchvision.models.ResNet50_Weights
    assert Config().state(3, (8, 8))[published.stem].shape == (64, 3, 3, 3)


def test_features_are_thirty_two_widths() -> None:
    assert Config(width=4).build(1, (8, 8)).feature_dim == 128
