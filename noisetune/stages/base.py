"""What a stage is: a generator of metric points and checkpoints that can start from one of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.models.base import Backbone
from noisetune.records import ENCODER, Event, MetricPoint
from noisetune.seeds import Purpose, Stream
from noisetune.ssl.base import Features
from noisetune.stages.labels import HeldOut, NoisyLabels
from noisetune.store import Artifact, StageKey
from noisetune.training.loop import strip

LOGITS, FEATURES, PREDICTIONS, MARGINS = "logits", "features", "predictions", "margins"
"""What fine-tuning keeps of the detection part: the first two at two choices of epoch, the
predictions after each one, the margins summed over all."""

SUSPICION = "suspicion"
"""What detection keeps of each label: the higher, the more likely it is wrong."""


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to go on after `step` epochs, and to replay what came before."""

    step: int
    artifact: Artifact


StageEvent = Event | Checkpoint
Start = tuple[int, Artifact] | None


@dataclass(frozen=True)
class Stage:
    """A computation of `total` steps under a key.

    `compute(start, due)` goes on from the checkpoint `start` (None: from nothing) and yields a
    Checkpoint after every step that `due` says yes to, and after the last one always.
    """

    key: StageKey
    total: int
    compute: Callable[[Start, Callable[[int], bool]], Iterator[StageEvent]]


@dataclass(frozen=True)
class Inputs:
    """What a trial works on: its resolved configuration, its images, its labels.

    `fold` is the fold (0-based) that is left out of them, None for the trial itself. `features`
    stand for the images where a head alone is trained, on them.
    """

    config: TrialConfig
    data: ImageData
    labels: NoisyLabels
    fold: int | None = None
    features: Features | None = None

    def stream(self, stage: str, purpose: Purpose) -> Stream:
        """The random numbers of a purpose of a stage."""
        return Stream(self.config.replicate, stage, purpose, self.fold)

    def backbone(self, replicate: int, number: int = 0) -> Backbone:
        """The freshly initialised backbone of network `number` (0-based) of a replicate.

        It is the same from scratch and where pre-training begins.
        """
        with Stream(replicate, ENCODER, "initialisation", self.fold).initialising(number):
            return self.config.model.build(self.data.channels, self.data.size)

    def begun(self, encoder: Artifact | None, number: int = 0) -> Backbone:
        """What network `number` begins with: `encoder`, or from scratch without one."""
        backbone = self.backbone(self.config.replicate, number)
        if encoder is not None:
            # A given encoder may leave weights out: those stay as they were drawn.
            begun = strip("network.encoder", encoder.tensors)
            backbone.load_state_dict(backbone.state_dict() | begun)
        return backbone

    def features_of(self, part: HeldOut) -> Tensor | None:
        """The features (n, D) of held-out images, where those are what is read."""
        if self.features is None:
            return None
        if part.part == "test":
            return self.features.test
        return self.features.train[torch.from_numpy(part.rows)]


def points_of(artifact: Artifact) -> list[MetricPoint]:
    """The metric points that led to an artifact, with their first timestamps."""
    return [MetricPoint.from_json(point) for point in artifact.record["points"]]


def record_of(points: list[MetricPoint], seconds: float, **more: Any) -> dict[str, Any]:
    """An artifact's record: its points, the seconds spent computing it, and `more`."""
    return {"points": [point.to_json() for point in points], "seconds": seconds, **more}
