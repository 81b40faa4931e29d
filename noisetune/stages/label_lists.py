"""The labels of a trial as rows, so that others can train on the very same noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.stages.labels import draw_labels
from noisetune.texts import csv_text

HEADING = ("index", "clean", "noisy", "part")


class LabelRow(NamedTuple):
    """An image by its `place` in the training or the test set as it is published, its labels by the
    names of their classes, and its `part`: fit, validation, detection or test.

    `clean` is empty where nobody knows it, `noisy` where the noise has no label for it.
    """

    place: int
    clean: str
    noisy: str
    part: str


def label_rows(config: TrialConfig, data: ImageData) -> list[LabelRow]:
    """Of all images: those of training in their order, then those of the test set.

    UserError where the noise does not fit the data set.
    """
    labels, names = draw_labels(config, data), data.class_names
    parts = np.full(len(labels.train), "fit", dtype=object)
    parts[labels.validation], parts[labels.detection] = "validation", "detection"
    indices = range(len(parts)) if data.rows is None else data.rows.tolist()
    truth = [names[each] if data.labels_clean else "" for each in data.y_train.tolist()]
    noisy = [names[each] for each in labels.train.tolist()]
    train = map(LabelRow, indices, truth, noisy, parts.tolist())
    given = [""] * len(data.y_test) if labels.test is None else [names[n] for n in labels.test]
    tests = enumerate(zip(data.y_test.tolist(), given, strict=True))
    return [*train, *(LabelRow(row, names[true], label, "test") for row, (true, label) in tests)]


def labels_csv(rows: Sequence[LabelRow]) -> str:
    """The rows under a heading."""
    return csv_text([HEADING, *rows])
