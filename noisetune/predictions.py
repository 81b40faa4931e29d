"""What a trial predicts of each test image: arrays in a file of the sweep's folder.

They are more than a ledger should hold, and what images are hard, how sure a network is and how far
another draw of test images would move an accuracy can be told from them alone.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noisetune.arrays import UNREADABLE, Archive
from noisetune.errors import UserError
from noisetune.files import replace_file
from noisetune.texts import file_stem

Integers = NDArray[np.integer[Any]]
PREDICTED, PROBABILITY, SCORE = "predicted", "probability", "score"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of N test images, and of M labels in which errors were sought.

    `predicted` and `probability` give, by choice of epoch (`last`, `noisy_best`, `label_wave`,
    `oracle`), the class (N,) that the network takes an image for, and how sure it is (N,), float16;
    `true` are the clean labels (N,). `given` are the labels (M,) in which errors were sought,
    `scores` each detector's suspicion of them (M,), float32, higher for likelier errors. They are
    of the test images, in their order, where `rows` is None; else of these rows (M,) of the
    training set, whose clean labels are `rows_true`, None where nobody knows them.
    """

    predicted: Mapping[str, Integers]
    probability: Mapping[str, NDArray[np.float16]]
    true: Integers
    given: Integers
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    rows: Integers | None = None
    rows_true: Integers | None = None

    def correct(self, choice: str) -> NDArray[np.bool_]:
        """Which test images (N,) are taken for what they are at a choice of epoch."""
        return self.predicted[choice] == self.true

    @property
    def given_true(self) -> Integers | None:
        """The clean labels (M,) of those in which errors were sought; None where unknown."""
        return self.true if self.rows is None else self.rows_true


class Kept(Protocol):
    """Who has the predictions of trials."""

    def of(self, trials: Iterable[str]) -> dict[str, Predictions]:
        """By trial, of those that left any."""


@dataclass(frozen=True, eq=False)
class Held:
    """Predictions that were read, by trial."""

    by_trial: Mapping[str, Predictions]

    def of(self, trials: Iterable[str]) -> dict[str, Predictions]:
        return {trial: self.by_trial[trial] for trial in trials if trial in self.by_trial}


def pack(predictions: Predictions) -> bytes:
    """A compressed .npz: classes and rows in the smallest type that holds them."""
    whole = {"true": predictions.true, "given": predictions.given}
    whole |= {f"{PREDICTED}.{name}": array for name, array in predictions.predicted.items()}
    for name in ("rows", "rows_true"):
        if (array := getattr(predictions, name)) is not None:
            whole[name] = array
    arrays: dict[str, Any] = {name: _narrow(array) for name, array in whole.items()}
    for kind, floats in ((PROBABILITY, predictions.probability), (SCORE, predictions.scores)):
        arrays |= {f"{kind}.{name}": array for name, array in floats.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def _narrow(array: Integers) -> Integers:
    return array.astype(np.min_scalar_type(int(array.max())) if len(array) else np.uint8)


@dataclass(frozen=True)
class PredictionsFolder:
    """A folder of such files, one a trial."""

    path: Path

    def file(self, trial: str) -> Path:
        """Where a trial's predictions are, whether they are there or not."""
        return self.path / f"{file_stem(trial)}.npz"

    def write(self, trial: str, packed: bytes) -> None:
        """Put them in the place of what the trial left before; OSError where that is refused."""
        self.path.mkdir(parents=True, exist_ok=True)
        replace_file(self.file(trial), packed)

    def read(self, trial: str) -> Predictions | None:
        """What a trial left; None where it left none. UserError for a damaged file."""
        file = self.file(trial)
        if not file.exists():
            return None
        try:
            with Archive(file) as archive:
                return _unpacked({name: archive.read(name) for name in archive.names})
        except (*UNREADABLE, KeyError) as error:
            raise UserError(
                f"{file}: is damaged ({error}); delete it to do without this trial's predictions"
            ) from None

    def of(self, trials: Iterable[str]) -> dict[str, Predictions]:
        """By trial, of those that left any."""
        read = {trial: self.read(trial) for trial in trials}
        return {trial: found for trial, found in read.items() if found is not None}


def _unpacked(arrays: Mapping[str, NDArray[Any]]) -> Predictions:
    def kind(prefix: str) -> dict[str, NDArray[Any]]:
        return {
            name.partition(".")[2]: array
            for name, array in arrays.items()
            if name.partition(".")[0] == prefix
        }

    found = Predictions(
        predicted=kind(PREDICTED),
        probability=kind(PROBABILITY),
        true=arrays["true"],
        given=arrays["given"],
        scores=kind(SCORE),
        rows=arrays.get("rows"),
        rows_true=arrays.get("rows_true"),
    )
    of_images = [found.true, *found.predicted.values(), *found.probability.values()]
    of_labels = [found.given, *found.scores.values()]
    for alike in (of_images, of_labels):
        if any(each.shape != (len(alike[0]),) for each in alike):
            raise ValueError("its arrays are not of one length")
    return found
