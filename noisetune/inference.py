"""A fine-tuned network by itself: one file of safetensors, which is asked for probabilities."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from noisetune.config import PLUGINS, TrialConfig
from noisetune.data.base import ImageData, Statistics, as_images
from noisetune.errors import UserError
from noisetune.models.base import Classifier, ModelConfig
from noisetune.stages.finetune import SELECTED
from noisetune.stages.samples import augmentation
from noisetune.store import Artifact
from noisetune.training.augment import normalise
from noisetune.training.loop import strip

FACTS = "noisetune"
"""Under which the file's header has what builds the network."""
IMAGES_AT_ONCE = 256


@dataclass(frozen=True)
class Network:
    """A network in evaluation mode, the moments that images are normalised by, and its classes.

    `shape` is (C, H, W).
    """

    classifier: Classifier
    shape: tuple[int, int, int]
    mean: Statistics | None
    std: Statistics | None
    class_names: tuple[str, ...]

    @torch.no_grad()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 images (N, H, W, C), of one channel also (N, H, W) -> probabilities (N, classes).

        UserError for images of another type or shape.
        """
        given = as_images(images, "images")
        if tuple(given.shape[1:]) != self.shape:
            channels, height, width = self.shape
            raise UserError(
                f"images: shape {tuple(images.shape)}; this network takes (N, {height}, {width}, "
                f"{channels})"
            )
        batches = given.split(IMAGES_AT_ONCE)
        logits = [self.classifier(normalise(each, self.mean, self.std)) for each in batches]
        return torch.softmax(torch.cat(logits), dim=1).numpy()


def write_network(path: Path, config: TrialConfig, data: ImageData, trained: Artifact) -> None:
    """Write the network that fine-tuning kept, that of the best epoch by noisy validation."""
    normalised = augmentation(config, data).normalise
    facts = {
        "model": config.model.model_dump(mode="json"),
        "shape": data.shape,
        "mean": data.mean if normalised else None,
        "std": data.std if normalised else None,
        "class_names": data.class_names,
    }
    tensors = strip(SELECTED, trained.tensors)
    safetensors.torch.save_file(tensors, path, {FACTS: json.dumps(facts)})


def load_network(path: Path) -> Network:
    """The network of a file that `write_network` wrote; UserError for any other one."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()[FACTS])
        return _built(facts, safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no network of noisetune's ({error})") from None


def _built(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Network:
    settings, (channels, *size) = facts["model"], facts["shape"]
    model = PLUGINS["model"][settings["name"]].model_validate(settings)
    assert isinstance(model, ModelConfig)
    classifier = Classifier(model.build(channels, tuple(size)), len(facts["class_names"]))
    classifier.load_state_dict(tensors)
    return Network(
        classifier.eval(),
        (channels, *size),
        facts["mean"],
        facts["std"],
        tuple(facts["class_names"]),
    )
