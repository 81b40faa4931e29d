"""Who is held out and whose label is wrong: drawn from the replicate's own streams."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from noisetune.config import TrialConfig
from noisetune.data.base import FEWEST, ImageData
from noisetune.errors import UserError
from noisetune.noise.base import CleanPart, Labels, Matrix, Part
from noisetune.seeds import Stream
from noisetune.stages.scores import label_noise_matrix

LABELS = "labels"
"""What is no stage of its own, and draws before all of them."""
SMALLEST_FOLD = 2


@dataclass(frozen=True)
class HeldOut:
    """Images that the network is not trained on: rows (n,) of a part, and their noisy labels."""

    part: Part
    rows: Labels
    noisy: Labels

    def clean(self, data: ImageData) -> Labels:
        """Their clean labels (n,)."""
        return (data.y_train if self.part == "train" else data.y_test).numpy()[self.rows]

    def truth(self, data: ImageData) -> Labels | None:
        """The clean labels, or None where nobody knows them."""
        return None if self.part == "train" and not data.labels_clean else self.clean(data)


def _nobody() -> Labels:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class NoisyLabels:
    """Noisy labels of the training set (N,) and test set (M,), and the split of the former.

    `test` is None for noise that has no test labels. `fit`, `validation` and `detection` are
    disjoint positions in the training set, drawn at random: a split stratified by noisy labels
    would differ by rate, one by clean labels would look at the truth. `detection` is empty where
    the test set is that part, `validation` where the detection part serves for both.
    """

    train: Labels
    test: Labels | None
    fit: Labels
    validation: Labels
    detection: Labels = field(default_factory=_nobody)

    @property
    def detected(self) -> HeldOut:
        """The part in which label errors are sought."""
        if self.test is None:
            return HeldOut("train", self.detection, self.train[self.detection])
        return HeldOut("test", np.arange(len(self.test)), self.test)

    @property
    def selected(self) -> HeldOut:
        """The part that epochs and configurations are selected on."""
        if len(self.validation) == 0:
            return self.detected
        return HeldOut("train", self.validation, self.train[self.validation])

    @property
    def sides(self) -> tuple[Labels, Labels]:
        """Training images whose features answer, and those that ask: fit and validation.

        Where no validation part is held out every fifth asks the others: features see no label.
        """
        if len(self.validation):
            return self.fit, self.validation
        asks = np.arange(len(self.fit)) % 5 == 0
        return self.fit[~asks], self.fit[asks]


def draw_labels(config: TrialConfig, data: ImageData) -> NoisyLabels:
    """The same split for all trials of a replicate on so many images, and wrong labels from the
    same random numbers.

    UserError where the noise does not fit the data set, too little is left to train on, or the
    method of fine-tuning asks for what nobody knows.
    """
    require_images(config, len(data.y_train))
    require_truth(config, data)
    order = Stream(config.replicate, LABELS, "split").rng().permutation(len(data.y_train))
    has_test = "test" in config.noise.parts
    ends = np.cumsum(config.data.held_out(len(order), detection=not has_test))
    validation, detection, fit = (np.sort(part) for part in np.split(order, ends))
    drawn_as: Part = "train" if config.detect.test_seed == "training" else "test"
    return NoisyLabels(
        train=_corrupt(config, data, "train", "train"),
        test=_corrupt(config, data, "test", drawn_as) if has_test else None,
        fit=fit,
        validation=validation,
        detection=detection,
    )


def label_identity(config: TrialConfig) -> dict[str, Any]:
    """What a stage key knows of the labels of a trial and their split, beside the data set."""
    held_out = config.data.validation_fraction
    has_test = "test" in config.noise.parts
    return {
        "validation_fraction": held_out,
        "detection_fraction": None if has_test else config.data.detection_fraction,
        "test_seed": None if held_out or not has_test else config.detect.test_seed,
        "noise": config.noise.identity(),
        "replicate": config.replicate,
    }


def _corrupt(config: TrialConfig, data: ImageData, part: Part, drawn_as: Part) -> Labels:
    rng = Stream(config.replicate, LABELS, "noise").rng(drawn_as)
    return config.noise.corrupt(clean_part(config, data, part), rng)


def clean_part(config: TrialConfig, data: ImageData, part: Part) -> CleanPart:
    """What the noise of `config` may read of one part."""
    train = part == "train"
    images, labels = (data.x_train, data.y_train) if train else (data.x_test, data.y_test)
    return CleanPart(
        labels=labels.numpy(),
        classes=data.classes,
        class_names=data.class_names,
        images=images.numpy(),
        mean=data.mean,
        std=data.std,
        superclasses=data.superclasses,
        part=part,
        seed=Stream(config.replicate, LABELS, "projection").seed(),
        rows=data.rows.numpy() if train and data.rows is not None else None,
        seen=data.seen,
    )


def true_matrix(config: TrialConfig, data: ImageData) -> Matrix | None:
    """P(label = column | clean class = row), where the method of fine-tuning reads it."""
    if not config.finetune.reads_matrix:
        return None
    return config.noise.transition_matrix(clean_part(config, data, "train"))


def require_truth(config: TrialConfig, data: ImageData) -> None:
    """UserError where the method reads a transition matrix that is not all of the noise: labels
    were wrong before the trial's own noise came."""
    if config.finetune.reads_matrix and not data.labels_clean:
        raise UserError(
            f"finetune: method {config.finetune.method} is to read the true transition matrix, but "
            f"nobody knows which training labels of data {config.data.name} are wrong; let it "
            "estimate the matrix, or choose another method"
        )


def describe_noise(labels: NoisyLabels, data: ImageData) -> dict[str, Any]:
    """The realised rates of each part, and transition matrices of those that have many labels.

    `train_rate` is of the images trained on, `train_matrix` of the whole training set;
    `detection_part` says which part `detection_rate` and `detection_matrix` are of. Those of
    training labels are None where nobody knows which of them are wrong.
    """
    clean, known = data.y_train.numpy(), data.labels_clean
    selected, detected = labels.selected, labels.detected
    fit = HeldOut("train", labels.fit, labels.train[labels.fit])
    return {
        "train_rate": _rate(fit, data),
        "validation_rate": _rate(selected, data),
        "detection_rate": _rate(detected, data),
        "detection_part": detected.part,
        "train_matrix": label_noise_matrix(labels.train, clean, data.classes) if known else None,
        "detection_matrix": None
        if (truth := detected.truth(data)) is None
        else label_noise_matrix(detected.noisy, truth, data.classes),
    }


def _rate(part: HeldOut, data: ImageData) -> float | None:
    truth = part.truth(data)
    return None if truth is None else float((part.noisy != truth).mean())


def require_images(config: TrialConfig, count: int) -> None:
    """UserError where so few training images cannot be split as `config` says."""
    parts = ["validation"] * bool(config.data.validation_fraction)
    parts += ["detection"] * ("test" not in config.noise.parts)
    if count < FEWEST + len(parts):
        raise UserError(
            f"data: {count} training images are too few to hold some out for "
            f"{' and some for '.join(parts)} and train on {FEWEST} or more; give more images, or "
            "raise data.train_samples"
        )
    if config.detect.folds is not None:
        require_folds(config, count)


def require_folds(config: TrialConfig, count: int) -> None:
    """UserError where so few training images cannot be cut into `detect.folds`."""
    folds = config.detect.folds
    assert folds is not None
    start = f"detect.folds: {folds} folds of {count} training images:"
    if count < SMALLEST_FOLD * folds:
        raise UserError(
            f"{start} a fold must have at least {SMALLEST_FOLD}; choose "
            f"{count // SMALLEST_FOLD} folds or fewer, or give more images"
        )
    # The largest fold leaves the fewest, and one of these chooses the epoch.
    others, chooses = count - math.ceil(count / folds), config.detect.checkpoint == "selected"
    if others < FEWEST + chooses:
        raise UserError(
            f"{start} {others} are left to learn from and to choose the epoch by, which takes "
            f"{FEWEST + chooses}; give more images, or set detect.checkpoint: last"
        )
