"""Detection of label errors: the noisy labels of a held-out part against the network's view."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from noisetune.config import TrialConfig
from noisetune.records import MetricPoint
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start, record_of
from noisetune.stages.scores import calibration_error, detection_scores, flag_issues
from noisetune.store import Artifact, StageKey

VERSION = 1
NAME = "detect"


def detect_key(config: TrialConfig, origin: StageKey) -> StageKey:
    """What detection with the network made under the key `origin` is stored under."""
    read = {"finetune": origin.digest, "detect": config.detect.model_dump(mode="json")}
    return StageKey(NAME, VERSION, read)


def detect_stage(inputs: Inputs, network: Artifact, key: StageKey) -> Stage:
    """Detection with the fine-tuned `network`."""
    settings = inputs.config.detect

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        began = time.monotonic()
        logits = network.tensors[f"logits.{settings.checkpoint}"]
        probabilities = torch.softmax(logits.double(), dim=1).numpy()
        part = inputs.labels.detected
        given, true = part.noisy, part.clean(inputs.data)
        scores = detection_scores(given, true, probabilities, settings.filter_by)
        scores["ece"] = calibration_error(true, probabilities)
        scores["ece_noisy"] = calibration_error(given, probabilities)
        flagged = np.flatnonzero(flag_issues(given, probabilities, settings.filter_by))
        point = MetricPoint(NAME, 0, {f"detect/{name}": value for name, value in scores.items()})
        yield point
        record = record_of([point], time.monotonic() - began, scores=scores)
        yield Checkpoint(0, Artifact({"flagged": torch.from_numpy(flagged)}, record))

    return Stage(key, 0, compute)
