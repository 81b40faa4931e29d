"""Detection among the training labels, by cross-validation (Northcutt et al. 2021, section 3).

The training set is cut into folds at random. For each fold a network is fine-tuned on the others,
from the trial's own encoder and with its own settings, and gives the probabilities of the fold:
every training label is judged once, by a network that never saw it. (The encoder may have seen
the image: pre-training reads all of them, and no label.)

The labels of a fold may not choose its network's epoch. With `detect.checkpoint: last` nothing is
chosen and the network learns from all other folds; with `selected` a part of those is held out
again, as large a share as the trial's own validation part, and chooses.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import FEWEST
from noisetune.detectors.base import Detector
from noisetune.records import DETECT_CV, FOLD, Event, MetricPoint, Tick
from noisetune.seeds import Stream
from noisetune.stages.base import (
    FEATURES,
    LOGITS,
    MARGINS,
    PREDICTIONS,
    Checkpoint,
    Inputs,
    Stage,
    StageEvent,
    Start,
)
from noisetune.stages.detect import detect, evidence_of, judged_part
from noisetune.stages.finetune import finetune_stage
from noisetune.stages.labels import require_folds
from noisetune.stages.runner import rephrased, run_stage, unheard
from noisetune.store import Artifact, StageKey, StoreLike

VERSION = 2
PREFIX = "cv_"
INNER_FRACTION = 0.2  # of the other folds, where the trial itself holds no validation part out


def fold_key(config: TrialConfig, origin: StageKey, fold: int) -> StageKey:
    """What fold number `fold` (0-based) of the trial fine-tuned under `origin` is stored under."""
    settings = config.detect
    read = {"fold": fold, "folds": settings.folds, "checkpoint": settings.checkpoint}
    return StageKey(FOLD, VERSION, {"finetune": origin.digest, **read})


def crossval_key(
    config: TrialConfig, origin: StageKey, detector: Detector | None = None
) -> StageKey:
    """What detection among the training labels, by one of the detectors, is stored under."""
    settings = config.detect
    read = {"checkpoint": settings.checkpoint, "folds": settings.folds}
    judge = (detector or settings).identity()
    return StageKey(DETECT_CV, VERSION, {"finetune": origin.digest, "detect": judge | read})


def cut_into_folds(config: TrialConfig, samples: int) -> list[NDArray[np.int64]]:
    """The positions in each fold, ascending: disjoint, all of them, sizes equal to within one.

    Every method, noise and rate of a replicate meets the same ones. Raises UserError where a fold
    would be too small.
    """
    count = config.detect.folds
    assert count is not None
    require_folds(config, samples)
    order = Stream(config.replicate, FOLD, "split").rng().permutation(samples)
    return [np.sort(part) for part in np.array_split(order, count)]


def fold_stage(inputs: Inputs, encoder: Artifact | None, origin: StageKey, fold: int) -> Stage:
    """The fine-tuning whose result is what detectors read of a fold; its weights are not kept."""
    key = fold_key(inputs.config, origin, fold)
    tuning = finetune_stage(_fold_inputs(inputs, fold), encoder, key)
    choice = inputs.config.detect.checkpoint

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        for event in tuning.compute(start, due):
            if isinstance(event, Checkpoint) and event.step == tuning.total:
                judged = judged_part(event.artifact.tensors, choice)
                event = Checkpoint(event.step, replace(event.artifact, tensors=judged))
            yield event

    return replace(tuning, compute=compute)


@dataclass(frozen=True)
class Judged:
    """What the networks of all folds make of the training set, in its order: as `judged_part` of
    the detection part, with the `fold` (N,) of each image and the seconds that it took."""

    kept: dict[str, Tensor]
    fold: NDArray[np.int64]
    seconds: float


def judge_folds(
    inputs: Inputs, encoder: Artifact | None, origin: StageKey, store: StoreLike
) -> Generator[Event, None, Judged]:
    """Fine-tune a network for each fold, and put together what they make of the images left out.

    Only signs of life are heard: the points are those of other networks than the trial's.
    """
    folds = cut_into_folds(inputs.config, len(inputs.labels.train))
    parts, seconds = [], 0.0
    for fold in range(len(folds)):
        stage = fold_stage(inputs, encoder, origin, fold)
        part = yield from _quietly(run_stage(stage, store), stage.total, fold, len(folds))
        parts.append(part.tensors)
        seconds += part.record["seconds"]
    return Judged(*_in_order(parts, folds), seconds)


def cross_validate(
    inputs: Inputs, encoder: Artifact | None, origin: StageKey, store: StoreLike
) -> Generator[Event, None, tuple[list[Artifact], float]]:
    """The result of each detector among all training labels, and the seconds that folds took.

    Of the detectors the first one's point is heard.
    """
    whole = yield from judge_folds(inputs, encoder, origin, store)
    judged: list[Artifact] = []
    for detector in inputs.config.detect.detectors:
        events = run_stage(_detection(inputs, whole.kept, whole.fold, origin, detector), store)
        judged.append((yield from (unheard(events) if judged else events)))
    return judged, whole.seconds + judged[0].record["seconds"]


def _in_order(
    parts: Sequence[Mapping[str, Tensor]], folds: list[NDArray[np.int64]]
) -> tuple[dict[str, Tensor], NDArray[np.int64]]:
    """What was kept of each fold, in the order of the training set, and the fold of each image."""
    order = np.argsort(np.concatenate(folds))
    names = (LOGITS, FEATURES, PREDICTIONS, MARGINS)
    kept = [name for name in names if all(name in part for part in parts)]
    whole = {}
    for name in kept:
        axis = 1 if name == PREDICTIONS else 0
        joined = torch.cat([part[name] for part in parts], dim=axis)
        whole[name] = joined.index_select(axis, torch.from_numpy(order))
    numbers = np.repeat(np.arange(len(folds)), [len(fold) for fold in folds])
    return whole, numbers[order]


def _detection(
    inputs: Inputs,
    kept: Mapping[str, Tensor],
    fold_of: NDArray[np.int64],
    origin: StageKey,
    detector: Detector,
) -> Stage:
    true = inputs.data.y_train.numpy() if inputs.data.labels_clean else None

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        given = {} if inputs.features is None else {FEATURES: inputs.features.train}
        evidence = evidence_of(inputs.labels.train, {**kept, **given}, fold_of)
        yield from detect(DETECT_CV, PREFIX, evidence, true, detector)

    return Stage(crossval_key(inputs.config, origin, detector), 0, compute)


def _fold_inputs(inputs: Inputs, fold: int) -> Inputs:
    """What a fold's fine-tuning reads: the other folds to learn from, the fold as its test set."""
    config, data, labels = inputs.config, inputs.data, inputs.labels
    folds = cut_into_folds(config, len(labels.train))
    held_out = folds.pop(fold)
    splitting = Stream(config.replicate, FOLD, "split", fold)
    others = splitting.rng().permutation(np.sort(np.concatenate(folds)))
    fraction = config.data.validation_fraction or INNER_FRACTION
    count = min(max(1, round(len(others) * fraction)), max(1, len(others) - FEWEST))
    features = inputs.features
    validation = others[:count]
    learnt = others if config.detect.checkpoint == "last" else others[count:]
    return Inputs(
        config,
        replace(data, x_test=data.x_train[held_out], y_test=data.y_train[held_out]),
        replace(
            labels,
            test=labels.train[held_out],
            fit=np.sort(learnt),
            validation=np.sort(validation),
            detection=np.empty(0, dtype=np.int64),
        ),
        fold,
        features and replace(features, test=features.train[torch.from_numpy(held_out)]),
    )


def _quietly(
    events: Generator[Event, None, Artifact], epochs: int, fold: int, folds: int
) -> Generator[Event, None, Artifact]:
    def life(event: Event) -> Event:
        if isinstance(event, MetricPoint):
            event = Tick(FOLD, event.step / epochs)
        return Tick(FOLD, (fold + event.done) / folds) if isinstance(event, Tick) else event

    return rephrased(events, life)
