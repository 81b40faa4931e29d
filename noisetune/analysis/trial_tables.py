"""What one trial made of single images, as rows: confusion and likely label errors."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from noisetune.predictions import Integers, Predictions
from noisetune.selection import Choice

MOST_ISSUES = 1000
"""So many labels stand in a table of likely errors: the most suspicious ones."""

Row = tuple[Any, ...]


def confusion(rows: Integers, columns: Integers, classes: int) -> Integers:
    """How often labels (N,) of one kind meet those of another: counts (classes, classes)."""
    cells = rows.astype(np.int64) * classes + columns
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def confusions(
    predictions: Predictions, choice: Choice, classes: int
) -> dict[tuple[str, str], Integers]:
    """The matrices that there are of clean, given and predicted labels, by what their rows and
    columns are. Given labels of training images meet no prediction of a test image."""
    predicted = predictions.predicted[choice]
    found = {("clean", "predicted"): confusion(predictions.true, predicted, classes)}
    if predictions.rows is None:
        found["given", "predicted"] = confusion(predictions.given, predicted, classes)
    if (clean := predictions.given_true) is not None:
        found["clean", "given"] = confusion(clean, predictions.given, classes)
    return found


def confusion_rows(
    matrices: dict[tuple[str, str], Integers], class_names: Sequence[str]
) -> Iterator[Row]:
    """A heading, then each cell that is not 0: kinds of labels, their classes, how many."""
    yield "rows", "columns", "row", "column", "count"
    for kinds, matrix in matrices.items():
        for row, column in zip(*np.nonzero(matrix), strict=True):
            yield *kinds, class_names[row], class_names[column], int(matrix[row, column])


def issue_rows(
    predictions: Predictions, choice: Choice, class_names: Sequence[str]
) -> Iterator[Row]:
    """A heading, then the labels that are likely errors, the likeliest by the first detector first.

    `image` is the row of the test set, or of the training set where errors were sought there.
    """
    detectors = list(predictions.scores)
    if not detectors:
        return
    clean, of_test = predictions.given_true, predictions.rows is None
    known = ["clean", "is_error"] if clean is not None else []
    said = ["predicted", "probability"] if of_test else []
    yield "image", "given", *said, *known, *(f"score {name}" for name in detectors)
    order = np.argsort(-predictions.scores[detectors[0]].astype(np.float64), kind="stable")
    for place in order[:MOST_ISSUES].tolist():
        row: list[Any] = [place if predictions.rows is None else int(predictions.rows[place])]
        row.append(class_names[predictions.given[place]])
        if of_test:
            row.append(class_names[predictions.predicted[choice][place]])
            row.append(float(predictions.probability[choice][place]))
        if clean is not None:
            row.append(class_names[clean[place]])
            row.append(bool(clean[place] != predictions.given[place]))
        yield *row, *(float(predictions.scores[name][place]) for name in detectors)
