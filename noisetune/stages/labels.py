"""Who is held out and whose label is wrong: decided by data set, noise and replicate alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.seeds import derive_seed
from noisetune.stages.scores import label_noise_matrix

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class NoisyLabels:
    """Noisy labels of the training set (N,) and test set (M,), and the split of the former.

    `fit` and `validation` are disjoint positions in the training set, drawn at random: a split
    stratified by noisy labels would differ by rate, one by clean labels would look at the truth.
    """

    train: Labels
    test: Labels
    fit: Labels
    validation: Labels


def draw_labels(config: TrialConfig, data: ImageData) -> NoisyLabels:
    """The same labels and split for every trial of this data set, noise and replicate."""
    source = (config.data.name, config.noise.model_dump(mode="json"), config.replicate)
    count = len(data.y_train)
    held_out = min(max(1, round(count * config.data.validation_fraction)), count - 1)
    order = _rng("split", source).permutation(count)
    return NoisyLabels(
        train=config.noise.corrupt(data.y_train.numpy(), data.classes, _rng("train", source)),
        test=config.noise.corrupt(data.y_test.numpy(), data.classes, _rng("test", source)),
        fit=np.sort(order[held_out:]),
        validation=np.sort(order[:held_out]),
    )


def describe_noise(labels: NoisyLabels, data: ImageData) -> dict[str, Any]:
    """The realised rates of each part, and transition matrices of training and test labels.

    Those of training labels are None where nobody knows which of them are wrong.
    """
    clean, clean_test = data.y_train.numpy(), data.y_test.numpy()
    wrong, known = labels.train != clean, data.labels_clean
    return {
        "train_rate": float(wrong[labels.fit].mean()) if known else None,
        "validation_rate": float(wrong[labels.validation].mean()) if known else None,
        "test_rate": float((labels.test != clean_test).mean()),
        "train_matrix": label_noise_matrix(labels.train, clean, data.classes) if known else None,
        "test_matrix": label_noise_matrix(labels.test, clean_test, data.classes),
    }


def _rng(purpose: str, source: tuple[Any, ...]) -> np.random.Generator:
    return np.random.default_rng(derive_seed(purpose, *source))
