"""Detection of label errors: the noisy labels of a held-out part against the network's view."""

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.detectors.base import Detector, Evidence
from noisetune.records import DETECT, MetricPoint, Metrics
from noisetune.stages.base import (
    FEATURES,
    LOGITS,
    MARGINS,
    PREDICTIONS,
    SUSPICION,
    Checkpoint,
    Inputs,
    Stage,
    StageEvent,
    Start,
    record_of,
)
from noisetune.stages.noise_estimate import estimate_noise, noise_scores
from noisetune.stages.scores import calibration_error, detection_scores, flagged_share
from noisetune.store import Artifact, StageKey

VERSION = 4


def detect_key(config: TrialConfig, origin: StageKey, detector: Detector | None = None) -> StageKey:
    """What detection with the network made under the key `origin` is stored under.

    `detector` is one of the trial's detectors, the first by default.
    """
    settings = config.detect
    read = {"checkpoint": settings.checkpoint, "test_seed": settings.test_seed}
    judge = (detector or settings).identity()
    return StageKey(DETECT, VERSION, {"finetune": origin.digest, "detect": judge | read})


def detect_stage(
    inputs: Inputs, network: Artifact, key: StageKey, detector: Detector | None = None
) -> Stage:
    """Detection with the fine-tuned `network`, by the trial's first detector or another one."""
    settings, part = inputs.config.detect, inputs.labels.detected

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        judged = judged_part(network.tensors, settings.checkpoint)
        if (features := inputs.features_of(part)) is not None:
            judged[FEATURES] = features
        evidence = evidence_of(part.noisy, judged)
        yield from detect(DETECT, "", evidence, part.truth(inputs.data), detector or settings)

    return Stage(key, 0, compute)


def judged_part(kept: Mapping[str, Tensor], choice: str) -> dict[str, Tensor]:
    """Logits and features of the detection part, out of what fine-tuning kept, at a `choice` of
    epoch, and predictions and margins of all epochs; of a network that was stored before some of
    these may be missing."""
    names = {f"{name}.{choice}": name for name in (LOGITS, FEATURES)}
    names |= {name: name for name in (PREDICTIONS, MARGINS)}
    return {name: kept[stored] for stored, name in names.items() if stored in kept}


def evidence_of(
    given: NDArray[np.int64], judged: Mapping[str, Tensor], fold: NDArray[np.int64] | None = None
) -> Evidence:
    """What detectors read of labels (N,), out of the `judged_part` of their images."""
    features, predictions = judged.get(FEATURES), judged.get(PREDICTIONS)
    margins = judged.get(MARGINS)
    return Evidence(
        given,
        torch.softmax(judged[LOGITS].double(), dim=1).numpy(),
        None if features is None else features.float().numpy(),
        None if predictions is None else predictions.long().numpy(),
        fold,
        None if margins is None else (margins / len(judged[PREDICTIONS])).numpy(),
    )


def detect(
    stage: str,
    prefix: str,
    evidence: Evidence,
    true: NDArray[np.int64] | None,
    detector: Detector,
) -> Iterator[StageEvent]:
    """The one point and the result of a stage in which a detector judges labels (N,).

    `prefix` stands before the name of every score. The result holds the positions of the
    `flagged` labels, the `suspicion` of each, the `scores`, and the estimated transition `matrix`.
    Without `true` labels only what needs none is scored: the share flagged, and the estimated rate.
    UserError where the detector reads what was not kept.
    """
    began = time.monotonic()
    detector.check(evidence)
    judgement = detector.judge(evidence)
    given, probabilities = evidence.given, evidence.probabilities
    estimate = estimate_noise(given, probabilities)
    values: Metrics = {"flagged": flagged_share(judgement), "rate_estimate": estimate.rate}
    if true is not None:
        values |= detection_scores(given, true, judgement)
        values["ece"] = calibration_error(true, probabilities)
        values |= noise_scores(given, true, estimate)
    values["ece_noisy"] = calibration_error(given, probabilities)
    scores: Metrics = {prefix + name: value for name, value in values.items()}
    mask = np.zeros(len(given), dtype=np.bool_) if judgement.mask is None else judgement.mask
    kept = {
        "flagged": torch.from_numpy(np.flatnonzero(mask)),
        SUSPICION: torch.from_numpy(np.asarray(judgement.suspicion, dtype=np.float32)),
    }
    point = MetricPoint(stage, 0, {f"detect/{name}": value for name, value in scores.items()})
    yield point
    seconds = time.monotonic() - began
    record = record_of([point], seconds, scores=scores, matrix=estimate.matrix)
    yield Checkpoint(0, Artifact(kept, record))
