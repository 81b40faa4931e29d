"""Fine-tuning by cross-entropy on the noisy labels: of the whole network, or first of its head.

Where the head alone is trained the backbone is frozen: in evaluation mode, so that its running
statistics stay, and without gradients. One optimiser holds all weights: it leaves out those without
gradients, weight decay included. When the backbone joins in, its moments begin, the head's go on,
and so does the schedule of the rate.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.models.base import Classifier
from noisetune.records import FINETUNE, MetricPoint, Metrics, Tick
from noisetune.seeds import derive_seed, generator, seeded_initialisation
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start, points_of, record_of
from noisetune.stages.labels import HeldOut
from noisetune.store import Artifact, StageKey
from noisetune.training.augment import Augment, AugmentConfig, normalise
from noisetune.training.feeding import Feed
from noisetune.training.loop import (
    DivergedError,
    pack_module,
    pack_optimizer,
    run_epoch,
    strip,
    unpack_module,
    unpack_optimizer,
)

VERSION = 1
PROBED = "probe_then_tune"


def finetune_key(
    config: TrialConfig, data: ImageData, origin: StageKey | None, epochs: int
) -> StageKey:
    """What fine-tuning from the encoder after `epochs` epochs under `origin` is stored under."""
    held_out = config.data.validation_fraction
    has_test = "test" in config.noise.parts
    unread = {"augment"} | (set() if config.finetune.train == PROBED else {"probe_epochs"})
    read = {
        "data": data.fingerprint,
        "name": config.data.name,
        "mean": data.mean,
        "std": data.std,
        "validation_fraction": held_out,
        "detection_fraction": None if has_test else config.data.detection_fraction,
        "test_seed": None if held_out or not has_test else config.detect.test_seed,
        "noise": config.noise.identity(),
        "model": config.model.model_dump(mode="json"),
        "pretrain": None if origin is None else origin.digest,
        "pretrain_epochs": epochs,
        "finetune": config.finetune.model_dump(mode="json", exclude=unread),
        "augment": _augmentation(config, data).model_dump(mode="json"),
        "runtime": config.runtime.key(),
        "replicate": config.replicate,
    }
    return StageKey(FINETUNE, VERSION, read)


def finetune_stage(inputs: Inputs, encoder: Artifact | None, key: StageKey) -> Stage:
    """The fine-tuning of a trial from `encoder` (None: from random weights)."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        return _Finetuning(inputs, key, encoder).run(start, due)

    return Stage(key, inputs.config.finetune.epochs, compute)


def _augmentation(config: TrialConfig, data: ImageData) -> AugmentConfig:
    chosen = config.finetune.augment
    return data.ssl_augment if chosen == "ssl" else chosen or data.finetune_augment


class _Finetuning:
    """Network, optimiser and the best epoch so far in the middle of a run."""

    def __init__(self, inputs: Inputs, key: StageKey, encoder: Artifact | None) -> None:
        config, data, labels = inputs.config, inputs.data, inputs.labels
        self.plan, self.runtime = config.finetune, config.runtime
        self.device = self.runtime.torch_device
        self.seed = derive_seed(key.digest)
        self.augment = Augment(_augmentation(config, data), data.size, data.mean, data.std)
        with seeded_initialisation(self.seed):
            network = Classifier(config.model.build(data.channels), data.classes)
        if encoder is not None:
            # A given encoder may leave weights out: those stay as they were drawn.
            begun = strip("network.encoder", encoder.tensors)
            network.backbone.load_state_dict(network.backbone.state_dict() | begun)
        self.network = self.runtime.place(network)
        self.forward = self.runtime.compiled(self.network)
        self.optimizer = self.plan.build_optimizer(self.network, self.device)
        self.train_images = Feed(data.x_train, self.runtime)
        self.test_images = Feed(data.x_test, self.runtime)
        self.noisy = torch.from_numpy(labels.train).to(self.device)
        self.clean_test = data.y_test.to(self.device)
        self.fit = torch.from_numpy(labels.fit).to(self.device)
        self.selected_on, self.detected = labels.selected, labels.detected
        self.noisy_selected = torch.from_numpy(labels.selected.noisy).to(self.device)
        wrong = labels.fit[labels.train[labels.fit] != data.y_train.numpy()[labels.fit]]
        if not data.labels_clean:
            wrong = wrong[:0]  # nobody knows which labels are wrong: those that were made so, too
        self.corrupted = torch.from_numpy(np.asarray(wrong)).to(self.device)
        self.batches = max(1, len(self.fit) // self.plan.batch_size)
        self.points: list[MetricPoint] = []
        self.selected: dict[str, Tensor] = {}
        self.seconds = 0.0

    def run(self, start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        """Epochs up to the configured number, from the checkpoint `start`."""
        done = self._restore(start)
        for epoch in range(done, self.plan.epochs):
            began = time.monotonic()
            loss = yield from self._epoch(epoch)
            values, logits = self._evaluate(loss)
            _require_finite(values, epoch + 1)
            point = MetricPoint(FINETUNE, epoch + 1, values)
            self.points.append(point)
            if best_epoch(self.points, "val/accuracy") == epoch + 1:
                self.selected = pack_module("selected", self.network) | {"logits.selected": logits}
            self.seconds += time.monotonic() - began
            yield point
            if epoch + 1 == self.plan.epochs:
                last = {"logits.last": logits}
                yield Checkpoint(epoch + 1, self._artifact(self.selected | last))
            elif due(epoch + 1):
                going_on = pack_module("network", self.network) | pack_optimizer(self.optimizer)
                yield Checkpoint(epoch + 1, self._artifact(self.selected | going_on))

    def _epoch(self, epoch: int) -> Generator[Tick, None, float]:
        random = generator(self.seed, epoch)
        order = torch.randperm(len(self.fit), generator=random)
        draws = self.augment.sample(len(order), random).to(self.device)
        # Of even sizes: a last batch of one image could not be normalised.
        rows_of = self.fit[order.to(self.device)].tensor_split(self.batches)
        frozen = epoch < self.plan.frozen_epochs
        self.network.train()
        self.network.backbone.train(not frozen).requires_grad_(not frozen)
        first_row = 0

        def batch_loss(index: int) -> Tensor:
            nonlocal first_row
            rows = rows_of[index]
            part = slice(first_row, first_row + len(rows))
            first_row = part.stop
            images = self.augment(next(batches), draws[part])
            with self.runtime.autocast():
                logits = self.forward(self.runtime.arrange(images))
            return F.cross_entropy(logits.float(), self.noisy[rows])

        with self.train_images.batches(rows_of) as batches:
            return (
                yield from run_epoch(
                    FINETUNE, self.plan, epoch, len(rows_of), self.optimizer, batch_loss
                )
            )

    def _evaluate(self, train_loss: float) -> tuple[Metrics, Tensor]:
        """The metrics of an epoch, and the detection part's logits on the CPU."""
        test = self._logits(self.test_images)
        validation, detection = (
            self._logits_of(part, test) for part in (self.selected_on, self.detected)
        )
        noisy = self.noisy_selected
        values: Metrics = {
            "train/loss": train_loss,
            "val/loss": float(F.cross_entropy(validation, noisy)),
            "val/accuracy": _agreement(validation, noisy),
            "test/loss": float(F.cross_entropy(test, self.clean_test)),
            "test/accuracy": _agreement(test, self.clean_test),
            "detect/memorisation": self._memorisation(),
        }
        return values, detection.cpu()

    def _memorisation(self) -> float | None:
        """Share of the corrupted training images predicted as their wrong label."""
        if len(self.corrupted) == 0:
            return None
        return _agreement(
            self._logits(self.train_images, self.corrupted), self.noisy[self.corrupted]
        )

    def _logits_of(self, part: HeldOut, test: Tensor) -> Tensor:
        """The logits of a held-out part; those of the test set are known already."""
        if part.part == "test":
            return test
        return self._logits(self.train_images, torch.from_numpy(part.rows).to(self.device))

    @torch.no_grad()
    def _logits(self, images: Feed, rows: Tensor | None = None) -> Tensor:
        self.network.eval()
        parts = []
        with images.passing(rows) as batches, self.runtime.autocast():
            for batch in batches:
                plain = normalise(batch, self.augment.mean, self.augment.std)
                parts.append(self.network(self.runtime.arrange(plain)).float())
        return torch.cat(parts)

    def _restore(self, start: Start) -> int:
        if start is None:
            return 0
        step, artifact = start
        unpack_module("network", artifact.tensors, self.network)
        unpack_optimizer(artifact.tensors, self.optimizer)
        self.points, self.seconds = points_of(artifact), artifact.record["seconds"]
        best = strip("selected", artifact.tensors)
        self.selected = {f"selected.{name}": value for name, value in best.items()}
        self.selected["logits.selected"] = artifact.tensors["logits.selected"]
        return step

    def _artifact(self, tensors: dict[str, Tensor]) -> Artifact:
        return Artifact(tensors, record_of(self.points, self.seconds))


def _require_finite(values: Metrics, epoch: int) -> None:
    # The last step of an epoch can break a network whose losses up to there were finite.
    given = {name: value for name, value in values.items() if value is not None}
    broken = [name for name, value in given.items() if not math.isfinite(value)]
    if broken:
        raise DivergedError(f"{', '.join(broken)} of epoch {epoch} is not finite")


def best_epoch(points: list[MetricPoint], metric: str, maximize: bool = True) -> int:
    """The first of the epochs with the best value of `metric`."""
    sign = 1 if maximize else -1
    return max(points, key=lambda point: sign * (point.values[metric] or 0.0)).step


def _agreement(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).double().mean())
