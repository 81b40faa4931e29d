"""Pre-training: reads every training image, never a test image, and a label only where a method
says that it does: then noisy ones of images that fine-tuning trains on, too.

Images without labels may be added to those: what is kept of the features is of the training set.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.errors import UserError
from noisetune.records import PRETRAIN, MetricPoint, Tick
from noisetune.seeds import Stream
from noisetune.ssl.base import UNREAD, Batch, Progress, SSLConfig, View
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start, points_of, record_of
from noisetune.stages.gate import FEATURES
from noisetune.stages.labels import label_identity
from noisetune.stages.unlabelled import pretraining_images, unlabelled_images
from noisetune.store import Artifact, StageKey
from noisetune.training.augment import Augment, AugmentConfig, normalise
from noisetune.training.feeding import Feed
from noisetune.training.loop import (
    pack_module,
    pack_optimizer,
    run_epoch,
    unpack_module,
    unpack_optimizer,
)
from noisetune.training.rows import Rows

VERSION = 2


def pretrain_key(config: TrialConfig, data: ImageData) -> StageKey | None:
    """What a trial's pre-training is stored under; None where it starts from scratch."""
    method = config.pretrain
    if not isinstance(method, SSLConfig):
        return None
    unread = {"augment", "stop", "unlabelled"} | ({"epochs"} if method.horizon_free else set())
    unread |= method.unkeyed
    read = {
        "images": data.train_images_hash,
        "mean": data.mean,
        "std": data.std,
        "model": config.model.identity(),
        "pretrain": method.model_dump(mode="json", exclude=unread),
        "augment": augmentation(method, data).model_dump(mode="json"),
        "runtime": config.runtime.key(),
        "replicate": config.pretrain_replicate,
    }
    if (more := unlabelled_images(method, data)) is not None:
        read["unlabelled"] = more.content_hash
    if method.reads_labels:
        read["labels"] = {"data": data.fingerprint} | label_identity(config)
    return StageKey(PRETRAIN, VERSION, read)


def pretrain_stage(inputs: Inputs, method: SSLConfig, key: StageKey, epochs: int) -> Stage:
    """The first `epochs` epochs of the pre-training stored under `key`."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        return _Pretraining(inputs, method).run(start, epochs, due)

    return Stage(key, epochs, compute)


def augmentation(method: SSLConfig, data: ImageData) -> AugmentConfig:
    """The augmentation that a method makes its views of."""
    return method.augment or method.usual_augment(data.ssl_augment)


class _Pretraining:
    """Learner and optimiser in the middle of a run."""

    def __init__(self, inputs: Inputs, method: SSLConfig) -> None:
        config, data = inputs.config, inputs.data
        self.method, self.runtime = method, config.runtime
        self.device = self.runtime.torch_device
        replicate = config.pretrain_replicate
        self.ordering = Stream(replicate, PRETRAIN, "order")
        self.augmenting = Stream(replicate, PRETRAIN, "augmentation")
        self.drawing = Stream(replicate, PRETRAIN, "method")
        given = augmentation(method, data)
        check_views(config, data)
        self.views = [view_augment(view, data) for view in method.views(given)]
        # Features are of images in the scale that the encoder is trained on.
        self.statistics = (data.mean, data.std) if given.normalise else (None, None)
        backbone = inputs.backbone(replicate)
        with Stream(replicate, PRETRAIN, "initialisation").initialising():
            learner = method.learner(backbone)
        self.learner = self.runtime.place(learner)
        self.forward = self.runtime.compiled(self.learner)
        self.optimizer = method.build_optimizer(self.learner, self.device)
        self.images = Feed(pretraining_images(method, data), self.runtime)
        self.own = len(data.x_train)
        self.labels = self._labels(inputs) if method.reads_labels else None
        self.sizes = method.batches(len(self.images))
        self.points: list[MetricPoint] = []
        self.seconds = 0.0

    def _labels(self, inputs: Inputs) -> Tensor:
        """The noisy labels of what fine-tuning trains on: those held out would no longer be so."""
        labels = torch.full((len(self.images),), UNREAD)
        fit = torch.from_numpy(inputs.labels.fit)
        labels[fit] = torch.from_numpy(inputs.labels.train)[fit]
        return labels.to(self.device)

    def run(self, start: Start, epochs: int, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        """Epochs up to `epochs`, from the checkpoint `start`."""
        done = self._restore(start)
        for epoch in range(done, epochs):
            began = time.monotonic()
            loss = yield from self._epoch(epoch)
            self.seconds += time.monotonic() - began
            point = MetricPoint(PRETRAIN, epoch + 1, {"pretrain/loss": loss})
            self.points.append(point)
            # The checkpoint first: who hears of the epoch may count on finding it.
            if due(epoch + 1) or epoch + 1 == epochs:
                yield Checkpoint(epoch + 1, self._artifact())
            yield point

    def _epoch(self, epoch: int) -> Generator[Tick, None, float]:
        self.learner.train()
        with closing(self._losses(epoch)) as losses:
            return (
                yield from run_epoch(
                    PRETRAIN, self.method, epoch, self.sizes, self.optimizer, losses
                )
            )

    def _losses(self, epoch: int) -> Generator[Tensor, None, None]:
        """The loss of each batch, in turn with the steps of the optimiser."""
        order = torch.randperm(len(self.images), generator=self.ordering.generator(epoch))
        parts = order[: sum(self.sizes)].split(self.sizes)
        # Of each view by itself, so that methods which share one share its draws.
        draws = [
            view.sample(sum(self.sizes), self.augmenting.generator(epoch, number))
            .to(self.device)
            .split(self.sizes)
            for number, view in enumerate(self.views)
        ]
        more = self._labels_and_draws(epoch, parts)
        with self.images.batches(parts) as batches:
            for index, (images, seen, *drawn) in enumerate(zip(batches, more, *draws, strict=True)):
                views = [
                    self.runtime.arrange(view(images, rows))
                    for view, rows in zip(self.views, drawn, strict=True)
                ]
                self.learner.before_step(self._progress(epoch, index + 0.5))
                with self.runtime.autocast():
                    outputs = self.forward(Batch(views, *seen))
                yield self.learner.loss(outputs)
                with torch.no_grad():
                    self.learner.after_step(self._progress(epoch, index + 1))

    def _labels_and_draws(
        self, epoch: int, parts: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor | None, Tensor | None]]:
        """What a step sees beside its views, for the images at `parts`."""
        count, random = self.learner.draws, self.drawing.generator(epoch)
        for rows in parts:
            labels = None if self.labels is None else self.labels[rows.to(self.device)]
            draws = torch.rand(len(rows), count, generator=random) if count else None
            yield labels, None if draws is None else draws.to(self.device)

    def _progress(self, epoch: int, batches: float) -> Progress:
        known = None if self.method.horizon_free else self.method.epochs
        return Progress(epoch + batches / len(self.sizes), known)

    def _restore(self, start: Start) -> int:
        if start is None:
            return 0
        step, artifact = start
        unpack_module("network", artifact.tensors, self.learner)
        unpack_optimizer(artifact.tensors, self.optimizer)
        self.points, self.seconds = points_of(artifact), artifact.record["seconds"]
        return step

    def _artifact(self) -> Artifact:
        tensors = pack_module("network", self.learner) | pack_optimizer(self.optimizer)
        tensors[FEATURES] = self._features()
        return Artifact(tensors, record_of(self.points, self.seconds))

    @torch.no_grad()
    def _features(self) -> Tensor:
        """Features (N, D) of the plain training images, in half precision, on the CPU."""
        self.learner.eval()
        largest = torch.finfo(torch.half).max
        rows = torch.arange(self.own) if self.own < len(self.images) else None
        kept = Rows(self.own)
        with self.runtime.autocast(), self.images.passing(rows) as batches:
            for batch in batches:
                plain = self.runtime.arrange(normalise(batch, *self.statistics))
                kept.add(self.learner.encoder(plain).clamp(-largest, largest).half())
        return kept.whole().cpu()


def check_views(config: TrialConfig, data: ImageData) -> None:
    """UserError where the backbone cannot take a view that the method makes, smaller than images
    say; nothing is computed."""
    method = config.pretrain
    if not isinstance(method, SSLConfig):
        return
    made = {view_augment(view, data).out for view in method.views(augmentation(method, data))}
    for size in sorted(made - {data.size}):
        try:
            with torch.device("meta"):
                backbone = config.model.build(data.channels, data.size)
                backbone(torch.empty(2, data.channels, *size))
        except (RuntimeError, ValueError, AssertionError) as error:
            why = str(error).partition("\n")[0]
            raise UserError(
                f"pretrain.method: {method.method}: model {config.model.name} cannot take its "
                f"views of {size[0]}x{size[1]} pixels ({why}); have larger ones made, or choose "
                "another backbone"
            ) from error


def view_augment(view: View, data: ImageData) -> Augment:
    """What makes a view of a data set's images."""
    height, width = (max(1, round(side * view.scale)) for side in data.size)
    return Augment(view.augment, data.size, data.mean, data.std, out=(height, width))
