"""Detection among the training labels, by cross-validation (Northcutt et al. 2021, section 3).

The training set is cut into folds at random. For each fold a network is fine-tuned on the others,
from the trial's own encoder and with its own settings, and gives the probabilities of the fold:
every training label is judged once, by a network that never saw it. (The encoder may have seen
the image: pre-training reads all of them, and no label.)

The labels of a fold may not choose its network's epoch. With `detect.checkpoint: last` nothing is
chosen and the network learns from all other folds; with `selected` a part of those is held out
again, as large a share as the trial's own validation part, and chooses.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.records import Event, MetricPoint, Tick
from noisetune.seeds import derive_seed
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start
from noisetune.stages.detect import detect
from noisetune.stages.finetune import finetune_stage
from noisetune.stages.labels import FEWEST, require_folds
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, StageKey, StoreLike

VERSION = 1
FOLD, NAME = "fold", "detect_cv"
LOGITS = "logits"
PREFIX = "cv_"
INNER_FRACTION = 0.2  # of the other folds, where the trial itself holds no validation part out


def fold_key(config: TrialConfig, origin: StageKey, fold: int) -> StageKey:
    """What fold number `fold` (0-based) of the trial fine-tuned under `origin` is stored under."""
    settings = config.detect
    read = {"fold": fold, "folds": settings.folds, "checkpoint": settings.checkpoint}
    return StageKey(FOLD, VERSION, {"finetune": origin.digest, **read})


def crossval_key(config: TrialConfig, origin: StageKey) -> StageKey:
    """What detection among the training labels is stored under."""
    settings = config.detect.model_dump(mode="json", exclude={"test_seed"})
    return StageKey(NAME, VERSION, {"finetune": origin.digest, "detect": settings})


def cut_into_folds(config: TrialConfig, samples: int) -> list[NDArray[np.int64]]:
    """The positions in each fold, ascending: disjoint, all of them, sizes equal to within one.

    Decided by data set, replicate and number of folds alone, so that every method and noise rate
    of a replicate meets the same ones. Raises UserError where a fold would be too small.
    """
    count = config.detect.folds
    assert count is not None
    require_folds(config, samples)
    order = _rng("folds", config, samples).permutation(samples)
    return [np.sort(part) for part in np.array_split(order, count)]


def fold_stage(inputs: Inputs, encoder: Artifact | None, origin: StageKey, fold: int) -> Stage:
    """The fine-tuning whose result is the `logits` of a fold; its weights are not kept."""
    key = fold_key(inputs.config, origin, fold)
    tuning = finetune_stage(_fold_inputs(inputs, fold), encoder, key)
    chosen = f"logits.{inputs.config.detect.checkpoint}"

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        for event in tuning.compute(start, due):
            if isinstance(event, Checkpoint) and event.step == tuning.total:
                logits = {LOGITS: event.artifact.tensors[chosen]}
                event = Checkpoint(event.step, replace(event.artifact, tensors=logits))
            yield event

    return replace(tuning, compute=compute)


def cross_validate(
    inputs: Inputs, encoder: Artifact | None, origin: StageKey, store: StoreLike
) -> Generator[Event, None, tuple[Artifact, float]]:
    """The result of `detect` among all training labels, and the seconds that its folds took.

    Of the folds only signs of life are heard: their points are those of other networks.
    """
    folds = cut_into_folds(inputs.config, len(inputs.labels.train))
    parts, seconds = [], 0.0
    for fold in range(len(folds)):
        stage = fold_stage(inputs, encoder, origin, fold)
        part = yield from _quietly(run_stage(stage, store), stage.total, fold, len(folds))
        parts.append(part.tensors[LOGITS])
        seconds += part.record["seconds"]
    logits = torch.cat(parts)[np.argsort(np.concatenate(folds))]
    scored = yield from run_stage(_detection(inputs, logits, origin), store)
    return scored, seconds + scored.record["seconds"]


def _detection(inputs: Inputs, logits: Tensor, origin: StageKey) -> Stage:
    given = inputs.labels.train
    true = inputs.data.y_train.numpy() if inputs.data.labels_clean else None
    filter_by = inputs.config.detect.filter_by

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        yield from detect(NAME, PREFIX, given, true, logits, filter_by)

    return Stage(crossval_key(inputs.config, origin), 0, compute)


def _fold_inputs(inputs: Inputs, fold: int) -> Inputs:
    """What a fold's fine-tuning reads: the other folds to learn from, the fold as its test set."""
    config, data, labels = inputs.config, inputs.data, inputs.labels
    folds = cut_into_folds(config, len(labels.train))
    held_out = folds.pop(fold)
    others = _rng("inner", config, fold).permutation(np.sort(np.concatenate(folds)))
    fraction = config.data.validation_fraction or INNER_FRACTION
    count = min(max(1, round(len(others) * fraction)), max(1, len(others) - FEWEST))
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
    )


def _quietly(
    events: Generator[Event, None, Artifact], epochs: int, fold: int, folds: int
) -> Generator[Event, None, Artifact]:
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return stop.value
            if isinstance(event, MetricPoint):
                event = Tick(FOLD, event.step / epochs)
            if isinstance(event, Tick):
                event = Tick(FOLD, (fold + event.done) / folds)
            yield event


def _rng(purpose: str, config: TrialConfig, *parts: int) -> np.random.Generator:
    seed = derive_seed(purpose, config.data.name, config.replicate, config.detect.folds, *parts)
    return np.random.default_rng(seed)
