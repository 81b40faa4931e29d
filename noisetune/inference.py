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
from noisetune.finetuning.base import PROBE
from noisetune.models.base import Backbone, Classifier, ModelConfig, NoBackbone
from noisetune.stages.features import Scale, feature_width, scale
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

    `shape` is (C, H, W); of a head that was trained on given features (D,).
    """

    classifier: Classifier
    shape: tuple[int, ...]
    mean: Statistics | None
    std: Statistics | None
    class_names: tuple[str, ...]

    @torch.no_grad()
    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """uint8 images (N, H, W, C), of one channel also (N, H, W) -> probabilities (N, classes).

        Of a head on given features: float vectors (N, D), scaled as those that it was trained on.
        UserError for images or vectors of another type or shape.
        """
        if len(self.shape) == 1:
            return self._of_vectors(images)
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

    def _of_vectors(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        if vectors.dtype.kind != "f" or vectors.shape[1:] != self.shape:
            raise UserError(
                f"features: {vectors.dtype} of shape {vectors.shape}; this head was trained on "
                f"given features, and takes float vectors (N, {self.shape[0]}) of the same network"
            )
        logits = self.classifier(torch.from_numpy(vectors.astype(np.float32)))
        return torch.softmax(logits, dim=1).numpy()


def input_shape(config: TrialConfig, data: ImageData) -> tuple[int, ...]:
    """(C, H, W) of the images that a trial's network takes; (D,) of the features of a head."""
    return data.shape if config.has_backbone else (feature_width(config, data),)


def write_network(path: Path, config: TrialConfig, data: ImageData, trained: Artifact) -> None:
    """Write the network that fine-tuning kept, that of the best epoch by noisy validation."""
    mean, std = _scale(config, data)
    facts = {
        "model": config.model.model_dump(mode="json"),
        "shape": input_shape(config, data),
        "hidden": config.finetune.head_width,
        "mean": mean,
        "std": std,
        "class_names": data.class_names,
    }
    tensors = strip(SELECTED, trained.tensors)
    safetensors.torch.save_file(tensors, path, {FACTS: json.dumps(facts)})


def _scale(config: TrialConfig, data: ImageData) -> Scale:
    """Mean and deviation that the network wants its images normalised by."""
    if config.finetune.train == PROBE:
        return scale(config, data)
    return (data.mean, data.std) if augmentation(config, data).normalise else (None, None)


def load_network(path: Path) -> Network:
    """The network of a file that `write_network` wrote; UserError for any other one."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()[FACTS])
        return _built(facts, safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no network of noisetune's ({error})") from None


def _built(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Network:
    shape = tuple(facts["shape"])
    classifier = Classifier(_backbone(facts), len(facts["class_names"]), facts.get("hidden"))
    classifier.load_state_dict(tensors)
    return Network(
        classifier.eval(),
        shape,
        facts["mean"],
        facts["std"],
        tuple(facts["class_names"]),
    )


def _backbone(facts: dict[str, Any]) -> Backbone:
    settings, (first, *size) = facts["model"], facts["shape"]
    if not size:
        return NoBackbone(first)
    model = PLUGINS["model"][settings["name"]].model_validate(settings)
    assert isinstance(model, ModelConfig)
    return model.build(first, tuple(size))
