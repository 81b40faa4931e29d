"""Smoke runs: what stands in for data, labels and weights that are not there."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torchvision
from torchvision.models import ResNet18_Weights

from noisetune.config import TrialConfig
from noisetune.data.base import DataConfig
from noisetune.data.cifar10 import CifarConfig
from noisetune.errors import UserError
from noisetune.noise.human import Config as Human
from noisetune.seeds import derive_seed, seeded_initialisation
from noisetune.ssl.imagenet import Config as ImageNet
from noisetune.sweep.spec.smoke import NO_RESULTS, StandIns, corner_trials, smoke
from noisetune.sweep.spec.sweep import Sweep

WRONG = 0.3
"""The share of wrong labels among made-up human ones."""


def in_small(sweep: Sweep, folder: Path, say: Callable[[str], None]) -> Sweep:
    """The smoke run of a sweep; files that it needs are made in `folder`.

    `say` is told of everything that is made up. Nothing is downloaded.
    """
    trials = corner_trials(sweep.conditions)
    say(NO_RESULTS)
    made_up = _missing_images(trials, say)
    stand_ins = StandIns(
        made_up, _made_up_labels(trials, made_up, folder, say), _weights(trials, folder, say)
    )
    return Sweep.from_definition(smoke(sweep.definition(), trials, stand_ins))


def _missing_images(trials: list[TrialConfig], say: Callable[[str], None]) -> bool:
    """Whether a data set would have to be downloaded; then all that could be are made up."""
    missing = []
    for data in dict.fromkeys(_whole(trial.data) for trial in trials):
        if isinstance(data, CifarConfig) and not data.made_up:
            try:
                data.model_copy(update={"download": False}).load()
            except UserError:
                missing.append(f"{data.name} is not in {data.root}")
    if missing:
        say(f"images are made up, since nothing is downloaded for this: {', '.join(missing)}")
    return bool(missing)


def _whole(data: DataConfig) -> DataConfig:
    return data.model_copy(update={"train_samples": None, "test_samples": None})


def _made_up(data: DataConfig) -> DataConfig:
    """More of it than a smoke run takes."""
    if not isinstance(data, CifarConfig):
        return _whole(data)
    return data.model_copy(update={"made_up": True, "train_samples": 1000, "test_samples": 1})


def _made_up_labels(
    trials: list[TrialConfig], made_up: bool, folder: Path, say: Callable[[str], None]
) -> dict[str, str]:
    """Files of human labels for the paths that are not there, or that are not of these images."""
    files: dict[str, str] = {}
    for trial in trials:
        noise = trial.noise
        if not isinstance(noise, Human) or str(noise.path) in files:
            continue
        if made_up or not noise.path.is_file():
            names = [
                each.noise.labels
                for each in trials
                if isinstance(each.noise, Human) and each.noise.path == noise.path
            ]
            file = folder / f"labels-{len(files)}.npz"
            data = (_made_up(trial.data) if made_up else _whole(trial.data)).load()
            _write_labels(file, data.y_train.numpy(), data.classes, names)
            files[str(noise.path)] = str(file)
    if files:
        say(f"human labels are made up, in place of {', '.join(files)}")
    return files


def _write_labels(
    file: Path, clean: np.ndarray[Any, Any], classes: int, names: Iterable[str]
) -> None:
    """An archive as `noise.human` reads it: the clean labels, and noisy ones by each name."""
    labels = {"clean": clean}
    for name in names:
        random = np.random.default_rng(derive_seed("made-up labels", name))
        wrong = random.random(len(clean)) < WRONG
        labels[name] = (clean + wrong * random.integers(1, classes, len(clean))) % classes
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, allow_pickle=False, **labels)


def _weights(trials: list[TrialConfig], folder: Path, say: Callable[[str], None]) -> str | None:
    """Random weights in torchvision's layout where its own would have to be fetched."""
    wanted = [
        trial.pretrain.weights
        for trial in trials
        if isinstance(trial.pretrain, ImageNet) and trial.pretrain.path is None
    ]
    if not wanted or all(map(_is_cached, wanted)):
        return None
    say(f"{wanted[0]} weights are random: torchvision's are not in its cache")
    file = folder / "resnet18.safetensors"
    if not file.is_file():
        with seeded_initialisation("made-up weights"):
            network = torchvision.models.resnet18(weights=None)
        file.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(network.state_dict(), file)
    return str(file)


def _is_cached(weights: str) -> bool:
    name = ResNet18_Weights[weights].url.rsplit("/", 1)[-1]
    return Path(torch.hub.get_dir(), "checkpoints", name).is_file()
