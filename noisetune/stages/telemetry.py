"""What an encoder is like after some of its pre-training; changes nothing that it looks at.

`pretrain/...` sees no label, or the trial's noisy ones; what sees clean labels is `test/...`.
"""

import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import content_hash
from noisetune.models.base import Backbone
from noisetune.records import TELEMETRY, MetricPoint, Metrics
from noisetune.seeds import Stream
from noisetune.ssl.base import SSLConfig
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start, record_of
from noisetune.stages.gate import FEATURES
from noisetune.stages.pretrain import augmentation
from noisetune.store import Artifact, StageKey
from noisetune.training.augment import Augment, Draws, normalise
from noisetune.training.feeding import Feed
from noisetune.training.loop import DivergedError, unpack_module
from noisetune.training.representation import (
    TelemetryConfig,
    alignment,
    class_separation,
    feature_deviation,
    knn_accuracy,
    linear_probe,
    rankme,
    uniformity,
)

VERSION = 3
Views = tuple[Tensor, Tensor]
Sides = tuple[Tensor, Tensor, Tensor, Tensor]


def telemetry_key(inputs: Inputs, origin: StageKey, epoch: int) -> StageKey:
    """What telemetry of the encoder after `epoch` epochs under `origin` is stored under."""
    config, data, labels = inputs.config, inputs.data, inputs.labels
    read = {
        "pretrain": origin.digest,
        "epoch": epoch,
        "data": data.fingerprint,
        "labels": [
            content_hash(torch.from_numpy(part))
            for part in (labels.train, labels.fit, labels.validation)
        ],
        "telemetry": _settings(inputs).model_dump(mode="json", exclude={"epochs"}),
        "runtime": config.runtime.key(),
    }
    return StageKey(TELEMETRY, VERSION, read)


def telemetry_stage(inputs: Inputs, encoder: Artifact, origin: StageKey, epoch: int) -> Stage:
    """Telemetry of `encoder`, the checkpoint of `origin` after `epoch` epochs: one point there.

    Raises DivergedError where its features are not finite.
    """

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        began = time.monotonic()
        views, test = _extract(inputs, encoder)
        train = encoder.tensors[FEATURES].float()
        for features in (train, *views, test):
            if not features.isfinite().all():
                raise DivergedError(f"the encoder's features after epoch {epoch} are not finite")
        values = _geometry(train, views) | _noisy(inputs, train) | _clean(inputs, train, test)
        point = MetricPoint(TELEMETRY, epoch, values)
        yield point
        yield Checkpoint(epoch, Artifact({}, record_of([point], time.monotonic() - began)))

    return Stage(telemetry_key(inputs, origin, epoch), epoch, compute)


def _geometry(train: Tensor, views: Views) -> Metrics:
    return {
        "pretrain/alignment": alignment(*views),
        "pretrain/uniformity": sum(map(uniformity, views)) / len(views),
        "pretrain/rankme": rankme(train),
        "pretrain/feature_deviation": feature_deviation(train),
    }


def _noisy(inputs: Inputs, train: Tensor) -> Metrics:
    """Accuracy under the trial's noisy labels: the fit part answers for the part that is asked."""
    labels = torch.from_numpy(inputs.labels.train)
    fit, asked = map(torch.from_numpy, inputs.labels.sides)
    sides = train[fit], labels[fit], train[asked], labels[asked]
    return _accuracies(inputs, "pretrain", sides)


def _clean(inputs: Inputs, train: Tensor, test: Tensor) -> Metrics:
    """Accuracy and separation under clean labels: the fit part answers for the test set.

    Where nobody knows the clean training labels, separation alone.
    """
    data, fit = inputs.data, torch.from_numpy(inputs.labels.fit)
    if not data.labels_clean:
        return {"test/separation": class_separation(test, data.y_test)}
    values = _accuracies(inputs, "test", (train[fit], data.y_train[fit], test, data.y_test))
    return values | {"test/separation": class_separation(test, data.y_test)}


def _accuracies(inputs: Inputs, prefix: str, sides: Sides) -> Metrics:
    """Of features, their labels, asked features and theirs: kNN and linear-probe accuracy."""
    settings, device = _settings(inputs), inputs.config.runtime.torch_device
    reference, labels, queries, expected = (side.to(device) for side in sides)
    knn = knn_accuracy(reference, labels, queries, expected, inputs.data.classes, settings.k)
    return {
        f"{prefix}/knn": knn,
        f"{prefix}/probe": linear_probe(*sides, settings.probe_iterations),
    }


def _extract(inputs: Inputs, encoder: Artifact) -> tuple[Views, Tensor]:
    """Features of two views of some training images, and of the plain test images, on the CPU."""
    config, data = inputs.config, inputs.data
    assert isinstance(config.pretrain, SSLConfig)
    backbone = config.model.build(data.channels, data.size)
    unpack_module("network.encoder", encoder.tensors, backbone)
    backbone = config.runtime.place(backbone).eval()
    augment = Augment(augmentation(config.pretrain, data), data.size, data.mean, data.std)
    # The same images and views at every epoch, for every method.
    sampling = Stream(config.pretrain_replicate, TELEMETRY, "sample")
    augmenting = Stream(config.pretrain_replicate, TELEMETRY, "augmentation")
    rows = torch.randperm(len(data.x_train), generator=sampling.generator())
    rows = rows[: _settings(inputs).samples]
    draws = [augment.sample(len(rows), augmenting.generator(number)) for number in range(2)]
    chosen = Feed(data.x_train[rows], config.runtime)
    first, second = (_features(_views(chosen, augment, each), backbone, config) for each in draws)
    with Feed(data.x_test, config.runtime).passing() as batches:
        # As pre-training saw them, which under some recipes is without mean and deviation.
        plain = (normalise(images, augment.mean, augment.std) for images in batches)
        return (first, second), _features(plain, backbone, config)


def _views(images: Feed, augment: Augment, draws: Draws) -> Iterator[Tensor]:
    """One view of all `images`, batch by batch."""
    first = 0
    with images.passing() as batches:
        for batch in batches:
            yield augment(batch, draws[first : first + len(batch)])
            first += len(batch)


@torch.no_grad()
def _features(batches: Iterable[Tensor], backbone: Backbone, config: TrialConfig) -> Tensor:
    """Features (N, D), float32, of batches of float images (B, C, H, W)."""
    runtime = config.runtime
    with runtime.autocast():
        return torch.cat([backbone(runtime.arrange(images)).float().cpu() for images in batches])


def _settings(inputs: Inputs) -> TelemetryConfig:
    settings = inputs.config.telemetry
    assert settings is not None
    return settings
