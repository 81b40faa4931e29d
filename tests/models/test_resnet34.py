"""ResNet34 against torchvision's, weights and all."""

from pathlib import Path

import pytest
import torch
import torchvision
from published_networks import resnet_with_statistics
from torch import nn

from noisetune.models.resnet34 import Config
from noisetune.ssl.checkpoint import Config as Checkpoint
from noisetune.store import NullStore


@pytest.fixture(scope="module")
def theirs() -> torchvision.models.ResNet:
    return resnet_with_statistics("resnet34")


def test_with_the_large_stem_a_file_of_torchvisions_is_its_network(
    theirs: torchvision.models.ResNet, tmp_path: Path
) -> None:
    torch.save(theirs.state_dict(), tmp_path / "resnet34.pth")
    model, given = Config(stem="large"), Checkpoint(path=tmp_path / "resnet34.pth")
    ours = model.build(3, (64, 48)).eval()
    ours.load_state_dict(given.encoder(model, 3, (64, 48), NullStore()))
    reference = torchvision.models.resnet34(weights=None).eval()
    reference.load_state_dict(theirs.state_dict())
    reference.fc = nn.Identity()
    images = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference(images))


def test_its_weights_are_those_that_torchvision_publishes() -> None:
    assert Config().published().architecture == "resnet34"
    assert Config().published().weights is torchvision.models.ResNet34_Weights


def test_layers_are_the_stem_and_each_of_its_sixteen_blocks() -> None:
    """The first block of each later stage has a shortcut beside its two convolutions."""
    layers = Config(width=4).build(1, (8, 8)).by_depth()
    assert [len(layer) for layer in layers] == [3, 6, 6, 6, 9, 6, 6, 6, 9, 6, 6, 6, 6, 6, 9, 6, 6]
