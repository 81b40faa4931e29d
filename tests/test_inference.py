from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.inference import Network, load_network, write_network
from noisetune.models.base import Classifier
from noisetune.pipeline import run_trial, trained_network
from noisetune.stages.finetune import SELECTED
from noisetune.store import Artifact, Store
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


def served(config: TrialConfig, folder: Path) -> tuple[Network, Artifact]:
    """The network of a trial that was run, as it is served."""
    config, data = config.resolve(), config.data.load()
    store = Store.open(folder / "stages")
    for _ in run_trial(config, store):
        pass
    trained = trained_network(config, data, store)
    assert trained is not None
    write_network(folder / "network.safetensors", config, data, trained)
    return load_network(folder / "network.safetensors"), trained


def probed(pretrain: dict[str, Any], **tuned: Any) -> TrialConfig:
    finetune = {"train": "probe", "epochs": 2, "batch_size": 16, **tuned}
    sections = CONFIG.model_dump(mode="json", include={"data", "model"})
    return TrialConfig.parse({**sections, "pretrain": pretrain, "finetune": finetune}, "the test")


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_probe_is_served_with_its_encoder(tmp_path: Path, head: str) -> None:
    network, trained = served(probed({"method": "none"}, head=head), tmp_path)
    wanted = torch.softmax(trained.tensors["logits.selected"], dim=1).numpy()
    assert np.allclose(network.probabilities(IMAGES), wanted, atol=1e-6)


def test_a_head_on_given_features_is_asked_with_features(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    given = {part: random.normal(size=(rows, 5)) for part, rows in (("train", 40), ("test", 12))}
    np.savez(tmp_path / "given.npz", **given)
    config = probed({"method": "features", "path": str(tmp_path / "given.npz")})
    network, trained = served(config, tmp_path)
    wanted = torch.softmax(trained.tensors["logits.selected"], dim=1).numpy()
    assert np.allclose(network.probabilities(given["test"]), wanted, atol=1e-6)
    of_other_images(network, IMAGES, r"features: uint8 .* takes float vectors \(N, 5\)")
    of_other_images(network, given["test"][:, :3], r"float64 of shape \(12, 3\); this head was")
