"""torchvision's weights in our network, tried with a file like theirs of random weights."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models._resnet import STEM
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.ssl.imagenet import Config, adapt_kernels
from noisetune.store import NullStore

MODEL = ResNet18()
SMALL = torch.Size((2, 3, 3, 3))
kernels = arrays(np.float64, (2, 3, 7, 7), elements=st.floats(-1, 1, width=16))


def encoder(file: Path | None, channels: int = 3, **fields: Any) -> dict[str, Tensor]:
    return Config(path=file, **fields).encoder(MODEL, channels, (8, 8), NullStore())


@pytest.fixture
def theirs(imagenet_file: Path) -> torchvision.models.ResNet:
    network = torchvision.models.resnet18(weights=None).eval()
    network.load_state_dict(torch.load(imagenet_file, weights_only=True))
    return network


def test_layer_by_layer_it_computes_what_torchvisions_network_does(
    theirs: torchvision.models.ResNet, imagenet_file: Path
) -> None:
    ours = MODEL.build(3, (8, 8)).eval()
    ours.load_state_dict(encoder(imagenet_file))
    features = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert ours.stem[1](features).equal(theirs.bn1(features))
        layers = (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4)
        for stage, layer in zip(ours.stages, layers, strict=True):
            expected = layer(features)
            assert stage(features).equal(expected)
            features = expected


@given(kernels, arrays(np.float64, (3, 3, 3), elements=st.floats(0, 1, width=16)))
def test_the_adapted_stem_answers_as_the_large_one_to_the_enlarged_image(
    kernel: np.ndarray, image: np.ndarray
) -> None:
    """By whole numbers: each tap of the kernel becomes 3x3 of a ninth, each pixel 7x7 of it."""
    fine = np.kron(kernel, np.ones((3, 3)) / 9)
    expected = (fine * np.kron(image, np.ones((7, 7)))).sum((1, 2, 3))
    small = adapt_kernels(torch.from_numpy(kernel), SMALL).numpy()
    assert small.shape == (2, 3, 3, 3)
    np.testing.assert_allclose((small * image).sum((1, 2, 3)), expected, atol=1e-9)


@given(kernels)
def test_the_adapted_stem_preserves_sums_and_mirrors(kernel: np.ndarray) -> None:
    large = torch.from_numpy(kernel)
    small = adapt_kernels(large, SMALL)
    torch.testing.assert_close(small.sum((2, 3)), large.sum((2, 3)))
    torch.testing.assert_close(adapt_kernels(large.flip(3), SMALL), small.flip(3))
    torch.testing.assert_close(adapt_kernels(large.mT, SMALL), small.mT)


def test_a_grey_image_is_answered_as_its_colour_image_is(imagenet_file: Path) -> None:
    grey = torch.rand(2, 1, 8, 8)
    answers = [
        F.conv2d(grey.expand(-1, channels, -1, -1), encoder(imagenet_file, channels)[STEM])
        for channels in (1, 3)
    ]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-5, atol=1e-5)


def test_the_random_stem_leaves_out_the_first_convolution_alone(imagenet_file: Path) -> None:
    adapted, random = (encoder(imagenet_file, stem=stem) for stem in ("adapted", "random"))
    assert adapted.keys() - random.keys() == {STEM}
    assert all(tensor.equal(adapted[name]) for name, tensor in random.items())
    assert "stem.1.running_mean" in random


def test_weights_are_fetched_by_name(imagenet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, **how: Any) -> dict[str, Tensor]:
        assert "resnet18" in url
        assert how["check_hash"]
        assert how["weights_only"]
        return torch.load(imagenet_file, weights_only=True)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    fetched, read = encoder(None), encoder(imagenet_file)
    assert all(fetched[name].equal(tensor) for name, tensor in read.items())


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("invalid hash value")])
def test_weights_that_cannot_be_fetched_say_to_give_a_path(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fetch(url: str, **how: Any) -> None:
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    with pytest.raises(UserError, match=r"IMAGENET1K_V1 cannot be fetched .*give .*pretrain.path"):
        encoder(None)


def test_a_file_of_another_network_is_refused_by_its_tensors(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a.pth: has the unexpected stages.0.2.conv1.weight, "):
        encoder(tmp_path / "a.pth")


@pytest.mark.parametrize("width", [4, 63, 128])
def test_another_width_is_refused_with_the_configuration(width: int) -> None:
    raw = {"model": {"width": width}, "pretrain": {"method": "imagenet"}}
    with pytest.raises(UserError, match=rf"^mine.yaml: model.width: {width}: .* 64 alone; set"):
        TrialConfig.parse(raw, "mine.yaml")
