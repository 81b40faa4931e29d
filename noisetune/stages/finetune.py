"""Fine-tuning on the noisy labels: of the whole network, or first of its head.

Where the head alone is trained the backbone is frozen: in evaluation mode, so that its running
statistics stay, and without gradients. One optimiser holds all weights: it leaves out those without
gradients, weight decay included. When the backbone joins in, its moments begin, the head's go on,
and so does the schedule of the rate.

A method may train several networks. The first one is the trial's: it is evaluated and kept.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.finetuning.base import Batch, Task
from noisetune.models.base import Classifier
from noisetune.records import FINETUNE, MetricPoint, Metrics, Tick
from noisetune.stages.base import (
    FEATURES,
    LOGITS,
    PREDICTIONS,
    Checkpoint,
    Inputs,
    Stage,
    StageEvent,
    Start,
    points_of,
    record_of,
)
from noisetune.stages.labels import HeldOut, true_matrix
from noisetune.stages.predictions import is_prediction, predicted
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

VERSION = 2
SELECTED, LAST = "selected", "last"
BEST_BY = {"noisy_best": "val/accuracy", "oracle": "test/accuracy"}
"""What chooses an epoch beside the last: by noisy validation, and by the clean test set."""


def finetune_key(
    config: TrialConfig, data: ImageData, origin: StageKey | None, epochs: int
) -> StageKey:
    """What fine-tuning from the encoder after `epochs` epochs under `origin` is stored under."""
    held_out = config.data.validation_fraction
    has_test = "test" in config.noise.parts
    read = {
        "data": data.fingerprint,
        "mean": data.mean,
        "std": data.std,
        "validation_fraction": held_out,
        "detection_fraction": None if has_test else config.data.detection_fraction,
        "test_seed": None if held_out or not has_test else config.detect.test_seed,
        "noise": config.noise.identity(),
        "model": config.model.identity(),
        "pretrain": None if origin is None else origin.digest,
        "pretrain_epochs": epochs,
        "finetune": config.finetune.identity(),
        "augment": augmentation(config, data).model_dump(mode="json"),
        "runtime": config.runtime.key(),
        "replicate": config.replicate,
    }
    return StageKey(FINETUNE, VERSION, read)


def finetune_stage(inputs: Inputs, encoder: Artifact | None, key: StageKey) -> Stage:
    """The fine-tuning of a trial from `encoder` (None: from random weights)."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        return _Finetuning(inputs, encoder).run(start, due)

    return Stage(key, inputs.config.finetune.epochs, compute)


def augmentation(config: TrialConfig, data: ImageData) -> AugmentConfig:
    """How the images are augmented that a trial is fine-tuned on."""
    chosen = config.finetune.augment
    return data.ssl_augment if chosen == "ssl" else chosen or data.finetune_augment


class _Outputs(NamedTuple):
    """What the network makes of images: `logits` (N, classes), float32, on the device, and
    `features` (N, D) that its head read, in half precision."""

    logits: Tensor
    features: Tensor


class _Finetuning:
    """Networks, criterion, optimiser and the best epoch so far in the middle of a run."""

    def __init__(self, inputs: Inputs, encoder: Artifact | None) -> None:
        config, data, labels = inputs.config, inputs.data, inputs.labels
        self.plan, self.runtime = config.finetune, config.runtime
        self.device = self.runtime.torch_device
        self.ordering = inputs.stream(FINETUNE, "order")
        self.augmenting = inputs.stream(FINETUNE, "augmentation")
        self.drawing = inputs.stream(FINETUNE, "method")
        self.augment = Augment(augmentation(config, data), data.size, data.mean, data.std)
        self.networks = [self._network(inputs, encoder, n) for n in range(self.plan.networks)]
        self.network = self.networks[0]
        self.forwards = [self._forward(each) for each in self.networks]
        self.optimizer = self.plan.build_optimizer(nn.ModuleList(self.networks), self.device)
        self.train_images = Feed(data.x_train, self.runtime)
        self.test_images = Feed(data.x_test, self.runtime)
        self.noisy = torch.from_numpy(labels.train).to(self.device)
        self.clean_test = data.y_test.to(self.device)
        self.fit = torch.from_numpy(labels.fit).to(self.device)
        self.criterion = self.plan.criterion(self._task(inputs))
        self.selected_on, self.detected = labels.selected, labels.detected
        self.noisy_selected = torch.from_numpy(labels.selected.noisy).to(self.device)
        self.corrupted = torch.from_numpy(_corrupted(inputs)).to(self.device)
        self.sizes = self.plan.batches(len(self.fit))
        self.points: list[MetricPoint] = []
        self.selected: dict[str, Tensor] = {}
        self.predicted: dict[str, Tensor] = {}
        self.predictions: list[Tensor] = []
        self.seconds = 0.0

    def _network(self, inputs: Inputs, encoder: Artifact | None, number: int) -> Classifier:
        """Network `number` (0-based): of one encoder, each with weights of its own where that
        leaves some out."""
        backbone = inputs.backbone(inputs.config.replicate, number)
        with inputs.stream(FINETUNE, "initialisation").initialising(number):
            network = Classifier(backbone, inputs.data.classes)
        if encoder is not None:
            # A given encoder may leave weights out: those stay as they were drawn.
            begun = strip("network.encoder", encoder.tensors)
            network.backbone.load_state_dict(network.backbone.state_dict() | begun)
        return self.runtime.place(network)

    def _task(self, inputs: Inputs) -> Task:
        matrix = true_matrix(inputs.config, inputs.data)
        known = None if matrix is None else torch.from_numpy(matrix).float().to(self.device)
        return Task(self.noisy[self.fit], inputs.data.classes, known)

    def _forward(self, network: Classifier) -> Callable[[Tensor], Tensor]:
        compiled = self.runtime.compiled(network)

        def forward(images: Tensor) -> Tensor:
            with self.runtime.autocast():
                logits = compiled(self.runtime.arrange(images))
            return logits.float()

        return forward

    def run(self, start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        """Epochs up to the configured number, from the checkpoint `start`."""
        done = self._restore(start)
        for epoch in range(done, self.plan.epochs):
            began = time.monotonic()
            loss = yield from self._epoch(epoch)
            values, test, judged = self._evaluate(loss)
            _require_finite(values, epoch + 1)
            point = MetricPoint(FINETUNE, epoch + 1, values)
            self.points.append(point)
            self.predictions.append(judged.logits.argmax(1).short().cpu())
            choices = self._choices()
            for choice in choices:
                self.predicted |= predicted(test.logits, choice)
            if "noisy_best" in choices:
                self.selected = pack_module(SELECTED, self.network) | _kept(judged, SELECTED)
            self.seconds += time.monotonic() - began
            yield point
            if epoch + 1 == self.plan.epochs:
                yield Checkpoint(epoch + 1, self._artifact(_kept(judged, LAST)))
            elif due(epoch + 1):
                yield Checkpoint(epoch + 1, self._artifact(self._state()))

    def _epoch(self, epoch: int) -> Generator[Tick, None, float]:
        self.criterion.epoch_begins(epoch, self._probabilities)
        frozen = epoch < self.plan.frozen_epochs
        for network in self.networks:
            network.train()
            network.backbone.train(not frozen).requires_grad_(not frozen)
        with closing(self._losses(epoch)) as losses:
            return (
                yield from run_epoch(FINETUNE, self.plan, epoch, self.sizes, self.optimizer, losses)
            )

    def _losses(self, epoch: int) -> Generator[Tensor, None, None]:
        """The loss of each batch, in turn with the steps of the optimiser."""
        order = torch.randperm(len(self.fit), generator=self.ordering.generator(epoch))
        draws = self.augment.sample(len(order), self.augmenting.generator(epoch)).to(self.device)
        parts = order.to(self.device).split(self.sizes)
        random = self.drawing.generator(epoch)
        with self.train_images.batches([self.fit[part] for part in parts]) as batches:
            for images, rows, drawn in zip(batches, parts, draws.split(self.sizes), strict=True):
                labels = self.noisy[self.fit[rows]]
                batch = Batch(self.augment(images, drawn), labels, rows, random)
                yield self.criterion.step(self.forwards, batch)

    def _choices(self) -> list[str]:
        """The choices of epoch that fall on the last one, as far as is known by now."""
        now = self.points[-1].step
        best = (name for name, by in BEST_BY.items() if best_epoch(self.points, by) == now)
        return [LAST, *best]

    def _evaluate(self, train_loss: float) -> tuple[Metrics, _Outputs, _Outputs]:
        """The metrics of an epoch, and what the network makes of test set and detection part."""
        test = self._outputs(self.test_images)
        validation, detection = (
            self._outputs_of(part, test) for part in (self.selected_on, self.detected)
        )
        noisy = self.noisy_selected
        values: Metrics = {
            "train/loss": train_loss,
            "val/loss": float(F.cross_entropy(validation.logits, noisy)),
            "val/accuracy": _agreement(validation.logits, noisy),
            "test/loss": float(F.cross_entropy(test.logits, self.clean_test)),
            "test/accuracy": _agreement(test.logits, self.clean_test),
            "detect/memorisation": self._memorisation(),
        }
        return values, test, detection

    def _memorisation(self) -> float | None:
        """Share of the corrupted training images predicted as their wrong label."""
        if len(self.corrupted) == 0:
            return None
        outputs = self._outputs(self.train_images, self.corrupted)
        return _agreement(outputs.logits, self.noisy[self.corrupted])

    def _probabilities(self) -> Tensor:
        return torch.softmax(self._outputs(self.train_images, self.fit).logits, dim=1)

    def _outputs_of(self, part: HeldOut, test: _Outputs) -> _Outputs:
        """Those of a held-out part; those of the test set are known already."""
        if part.part == "test":
            return test
        return self._outputs(self.train_images, torch.from_numpy(part.rows).to(self.device))

    @torch.no_grad()
    def _outputs(self, images: Feed, rows: Tensor | None = None) -> _Outputs:
        self.network.eval()
        logits, kept = [], []
        largest = torch.finfo(torch.half).max
        with images.passing(rows) as batches, self.runtime.autocast():
            for batch in batches:
                plain = normalise(batch, self.augment.mean, self.augment.std)
                features = self.network.backbone(self.runtime.arrange(plain))
                logits.append(self.network.head(features).float())
                kept.append(features.clamp(-largest, largest).half())
        return _Outputs(torch.cat(logits), torch.cat(kept))

    def _restore(self, start: Start) -> int:
        if start is None:
            return 0
        step, artifact = start
        for prefix, module in self._modules():
            unpack_module(prefix, artifact.tensors, module)
        unpack_optimizer(artifact.tensors, self.optimizer)
        self.points, self.seconds = points_of(artifact), artifact.record["seconds"]
        kept = artifact.tensors
        self.predictions = list(kept[PREDICTIONS])
        self.selected = {name: kept[name] for name in kept if SELECTED in name.split(".")[:2]}
        self.predicted = {name: kept[name] for name in kept if is_prediction(name)}
        return step

    def _modules(self) -> Iterator[tuple[str, nn.Module]]:
        """All that has state, by the names that it is kept under."""
        for number, network in enumerate(self.networks):
            yield f"network{number or ''}", network
        yield "criterion", self.criterion

    def _state(self) -> dict[str, Tensor]:
        """What a run needs to go on."""
        state = pack_optimizer(self.optimizer)
        for prefix, module in self._modules():
            state |= pack_module(prefix, module)
        return state

    def _artifact(self, tensors: dict[str, Tensor]) -> Artifact:
        judged = {PREDICTIONS: torch.stack(self.predictions)}
        kept = self.selected | self.predicted | tensors | judged
        return Artifact(kept, record_of(self.points, self.seconds))


def _kept(outputs: _Outputs, choice: str) -> dict[str, Tensor]:
    """What is kept of the detection part at a choice of epoch."""
    return {
        f"{LOGITS}.{choice}": outputs.logits.cpu(),
        f"{FEATURES}.{choice}": outputs.features.cpu(),
    }


def _corrupted(inputs: Inputs) -> np.ndarray:
    """The training images whose label is wrong; none where nobody knows which are."""
    labels, data = inputs.labels, inputs.data
    if not data.labels_clean:
        return labels.fit[:0]
    return labels.fit[labels.train[labels.fit] != data.y_train.numpy()[labels.fit]]


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
