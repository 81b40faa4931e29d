from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.inference import Network, load_network, write_network
from noisetune.models.base import Classifier
from noisetune.stages.finetune import SELECTED
from noisetune.store import Artifact
from noisetune.training.augment import normalise
from noisetune.training.loop import pack_module

CONFIG = TrialConfig.parse(
    {"data": {"train_samples": 40, "test_samples": 12}, "model": {"width": 4}}, "the test"
)
DATA = CONFIG.data.load()
IMAGES = DATA.x_test.permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def trained() -> Classifier:
    torch.manual_seed(0)
    return Classifier(CONFIG.model.build(DATA.channels, DATA.size), DATA.classes).eval()


@pytest.fixture(scope="module")
def file(trained: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    write_network(path, CONFIG, DATA, Artifact(pack_module(SELECTED, trained), {}))
    return path


@torch.no_grad()
def test_a_network_comes_back_as_it_was(trained: Classifier, file: Path) -> None:
    network = load_network(file)
    wanted = torch.softmax(trained(normalise(DATA.x_test, DATA.mean, DATA.std)), dim=1)
    assert np.allclose(network.probabilities(IMAGES), wanted.numpy(), atol=1e-6)
    assert network.class_names == DATA.class_names
    # Of one channel, with it or without.
    assert np.array_equal(network.probabilities(IMAGES[..., 0]), network.probabilities(IMAGES))


def of_other_images(network: Network, images: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network.probabilities(images)


def test_images_that_do_not_fit_are_refused(file: Path) -> None:
    network = load_network(file)
    of_other_images(network, IMAGES / 255, r"images are float64, they must be uint8")
    of_other_images(network, IMAGES[:, :5], r"this network takes \(N, 8, 8, 1\)")
    of_other_images(network, IMAGES[0, 0, 0], r"is no stack of images")


@pytest.mark.parametrize("content", [b"", b"x" * 100, safetensors.torch.save({"a": torch.ones(1)})])
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "network.safetensors"
    other.write_bytes(content)
    with pytest.raises(UserError, match=r"is no network of noisetune's"):
        load_network(other)
    with pytest.raises(UserError, match=r"is no network of noisetune's"):
        load_network(tmp_path / "none")
