"""The gate between pre-training and fine-tuning: what can be told of an encoder without truth."""

import torch

from noisetune.records import GATE, MetricPoint, Metrics
from noisetune.stages.base import Inputs
from noisetune.store import Artifact
from noisetune.training.representation import feature_deviation, knn_accuracy, rankme

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
    return MetricPoint(GATE, epochs, values)


def noisy_knn(inputs: Inputs, encoder: Artifact) -> float:
    """kNN accuracy under the trial's own noisy labels: the validation part asks the rest."""
    features, labels = encoder.tensors[FEATURES], torch.from_numpy(inputs.labels.train)
    fit, asked = map(torch.from_numpy, inputs.labels.sides)
    return knn_accuracy(
        features[fit], labels[fit], features[asked], labels[asked], inputs.data.classes
    )
