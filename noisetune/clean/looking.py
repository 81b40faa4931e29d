"""What networks make of every image whose label they never saw: pre-training, folds, features."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noisetune.clean.patches import patches_stage
from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.detectors._neighbours import Neighbours
from noisetune.detectors.base import Evidence
from noisetune.errors import UserError
from noisetune.finetuning.base import PROBE
from noisetune.memory import give_freed_memory_back
from noisetune.records import Event
from noisetune.ssl.base import SSLConfig
from noisetune.stages.base import Inputs
from noisetune.stages.crossval import judge_folds
from noisetune.stages.detect import evidence_of
from noisetune.stages.features import extract_key, extract_stage, features_in
from noisetune.stages.finetune import finetune_key
from noisetune.stages.given import given_encoder
from noisetune.stages.labels import NoisyLabels, require_folds, require_truth
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, StageKey, StoreLike


@dataclass(frozen=True)
class Look:
    """The evidence of each round, each over all images, the fold (N,) of each image in it, and the
    `neighbours` of the images by the encoder's features."""

    rounds: Sequence[Evidence]
    folds: Sequence[NDArray[np.int64]]
    neighbours: Neighbours


def check(config: TrialConfig, data: ImageData, patches: int = 0) -> None:
    """UserError for settings that do not go with these images."""
    if patches and config.finetune.train != PROBE:
        raise UserError(
            f"finetune.train: {config.finetune.train}: features of patches have no network behind "
            "them; set finetune.train: probe, or leave patches out"
        )
    if not config.has_backbone:
        raise UserError(
            "pretrain.method: features: clean looks at images, and wants an encoder; take another "
            "method, such as simclr or checkpoint"
        )
    if isinstance(config.pretrain, SSLConfig) and config.pretrain.stop is not None:
        raise UserError(
            "pretrain.stop: clean trains the encoder for all its epochs, without looking at it "
            "between; leave stop out, and set pretrain.epochs"
        )
    require_truth(config, data)
    require_folds(config, len(data.x_train))


def one_for_a_head(config: TrialConfig) -> TrialConfig:
    """The configuration with one thread where a head alone is trained: several would wait for each
    other at every step."""
    if config.finetune.train != PROBE:
        return config
    return config.model_copy(update={"runtime": config.runtime.model_copy(update={"threads": 1})})


def look(
    config: TrialConfig, data: ImageData, store: StoreLike, rounds: int, patches: int = 0
) -> Generator[Event, None, Look]:
    """Pre-train on all images, then fine-tune over the folds, so many `rounds`, each with a seed
    and a cut of its own; what was computed before is in the store.

    `data` has no test part: a fold's is the images that it leaves out. Where a network is
    fine-tuned as a whole, features are those of the encoder before it, which saw no label. With
    `patches` a head is trained on the features of so many of them, and there is no encoder.
    """
    config.runtime.apply()
    given = data.y_train.numpy()
    labels = NoisyLabels(given, None, np.arange(len(given)), np.empty(0, dtype=np.int64))
    inputs = Inputs(config, data, labels)
    origin, encoder, epochs = (None, None, 0) if patches else (yield from _encoder(inputs, store))
    if patches:
        stage = patches_stage(data, patches, config.runtime)
    else:
        stage = extract_stage(inputs, encoder, extract_key(config, data, origin, epochs))
    features = features_in((yield from run_stage(stage, store)))
    one_for_a_head(config).runtime.apply()
    give_freed_memory_back()
    by_encoder = features.train.float().numpy()
    near = Neighbours(by_encoder)
    evidence, folds = list[Evidence](), list[NDArray[np.int64]]()
    for seed in range(rounds):
        own = replace(inputs, config=config.model_copy(update={"replicate": seed}))
        if config.finetune.train == PROBE:
            own = replace(own, features=features)
            tuned = finetune_key(own.config, data, stage.key, 0)
        else:
            tuned = finetune_key(own.config, data, origin, epochs)
        judged = yield from judge_folds(own, encoder, tuned, store)
        # Features are by one encoder, whichever fold an image is in.
        seen = evidence_of(given, judged.kept)
        evidence.append(replace(seen, features=by_encoder, neighbours=near))
        folds.append(judged.fold)
        give_freed_memory_back()
    config.runtime.apply()
    return Look(evidence, folds, near)


def _encoder(
    inputs: Inputs, store: StoreLike
) -> Generator[Event, None, tuple[StageKey | None, Artifact | None, int]]:
    """The key, the encoder (None: random weights) and the epochs that it was trained for here."""
    config, method = inputs.config, inputs.config.pretrain
    key = pretrain_key(config, inputs.data)
    if key is not None:
        assert isinstance(method, SSLConfig)
        made = yield from run_stage(pretrain_stage(inputs, method, key, method.epochs), store)
        return key, made, method.epochs
    known = given_encoder(config, inputs.data, store)
    return (None, None, 0) if known is None else (*known, 0)
