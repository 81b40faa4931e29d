"""Detection of label errors: the noisy labels of a held-out part against the network's view."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.records import DETECT, MetricPoint, Metrics
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start, record_of
from noisetune.stages.noise_estimate import estimate_noise, noise_scores
from noisetune.stages.scores import calibration_error, detection_scores, flag_issues
from noisetune.store import Artifact, StageKey

VERSION = 3


def detect_key(config: TrialConfig, origin: StageKey) -> StageKey:
    """What detection with the network made under the key `origin` is stored under."""
    settings = config.detect.model_dump(mode="json", exclude={"folds"})
    return StageKey(DETECT, VERSION, {"finetune": origin.digest, "detect": settings})


def detect_stage(inputs: Inputs, network: Artifact, key: StageKey) -> Stage:
    """Detection with the fine-tuned `network`."""
    settings = inputs.config.detect

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        logits = network.tensors[f"logits.{settings.checkpoint}"]
        part = inputs.labels.detected
        given, true = part.noisy, part.truth(inputs.data)
        yield from detect(DETECT, "", given, true, logits, settings.filter_by)

    return Stage(key, 0, compute)


def detect(
    stage: str,
    prefix: str,
    given: NDArray[np.int64],
    true: NDArray[np.int64] | None,
    logits: Tensor,
    filter_by: str,
) -> Iterator[StageEvent]:
    """The one point and the result of a stage that scores labels (N,) by logits (N, C).

    `prefix` stands before the name of every score. The result holds the positions of the
    `flagged` labels, the `scores`, and the estimated transition `matrix`. Without `true` labels
    only what needs none is scored: the share flagged, and the estimated rate.
    """
    began = time.monotonic()
    probabilities = torch.softmax(logits.double(), dim=1).numpy()
    estimate = estimate_noise(given, probabilities)
    mask = flag_issues(given, probabilities, filter_by)
    found: Metrics = {"flagged": float(mask.mean()), "rate_estimate": estimate.rate}
    if true is not None:
        found |= detection_scores(given, true, probabilities, filter_by)
        found["ece"] = calibration_error(true, probabilities)
        found |= noise_scores(given, true, estimate)
    found["ece_noisy"] = calibration_error(given, probabilities)
    scores: Metrics = {prefix + name: value for name, value in found.items()}
    flagged = np.flatnonzero(mask)
    point = MetricPoint(stage, 0, {f"detect/{name}": value for name, value in scores.items()})
    yield point
    seconds = time.monotonic() - began
    record = record_of([point], seconds, scores=scores, matrix=estimate.matrix)
    yield Checkpoint(0, Artifact({"flagged": torch.from_numpy(flagged)}, record))
