"""The gate between pre-training and fine-tuning: what can be told of an encoder without truth."""

import torch
from torch import Tensor

from noisetune.records import MetricPoint, Metrics
from noisetune.stages.base import Inputs
from noisetune.store import Artifact
from noisetune.training.telemetry import feature_deviation, knn_accuracy, rankme

NAME = "gate"
FEATURES = "features"


def gate_point(inputs: Inputs, encoder: Artifact, epochs: int, knn: bool) -> MetricPoint:
    """Spread and effective rank of the stored features; with `knn` also their kNN accuracy."""
    features = encoder.tensors[FEATURES].float()
    values: Metrics = {
        "pretrain/feature_deviation": feature_deviation(features),
        "pretrain/rankme": rankme(features),
    }
    if knn:
        values["pretrain/knn"] = noisy_knn(inputs, encoder)
    return MetricPoint(NAME, epochs, values)


def noisy_knn(inputs: Inputs, encoder: Artifact) -> float:
    """kNN accuracy under the trial's own noisy labels: the part that is asked asks the rest."""
    features, labels = encoder.tensors[FEATURES], torch.from_numpy(inputs.labels.train)
    fit, asked = fit_and_asked(inputs)
    return knn_accuracy(
        features[fit], labels[fit], features[asked], labels[asked], inputs.data.classes
    )


def fit_and_asked(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Positions in the training set: those that answer, and those that are asked for their label.

    The validation part is asked; where none is held out, every fifth image: features have seen no
    label.
    """
    fit, asked = (torch.from_numpy(part) for part in (inputs.labels.fit, inputs.labels.validation))
    if len(asked) == 0:
        every_fifth = torch.arange(len(fit)) % 5 == 0
        fit, asked = fit[~every_fifth], fit[every_fifth]
    return fit, asked
