"""Fine-tuning on the noisy labels: of the whole network, or first of its head.

Where the head alone is trained the backbone is frozen: in evaluation mode, so that its running
statistics stay, and without gradients. One optimiser holds all weights: it leaves out those without
gradients, weight decay included. When the backbone joins in, its moments begin, the head's go on,
and so does the schedule of the rate.

A probe is the head by itself, on features that there are already.

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
from noisetune.finetuning.base import PROBE, Batch, Task
from noisetune.models.base import Classifier, NoBackbone
from noisetune.records import FINETUNE, MetricPoint, Metrics, Tick
from noisetune.selection import CHANGED, Choice, choose_epochs
from noisetune.stages.base import (
    FEATURES,
    LOGITS,
    MARGINS,
    PREDICTIONS,
    Checkpoint,
    Inputs,
    Stage,
    StageEvent,
    Start,
    points_of,
    record_of,
)
from noisetune.stages.fluctuation import SeenPredictions
from noisetune.stages.labels import HeldOut, label_identity, true_matrix
from noisetune.stages.predictions import is_prediction, margins, predicted
from noisetune.stages.samples import augmentation, samples_of
from noisetune.store import Artifact, StageKey
from noisetune.training.feeding import Feed
from noisetune.training.loop import (
    DivergedError,
    pack_module,
    pack_optimizer,
    run_epoch,
    unpack_module,
    unpack_optimizer,
)
from noisetune.training.rows import Rows

VERSION = 2
SELECTED, LAST = "selected", "last"


def finetune_key(
    config: TrialConfig, data: ImageData, origin: StageKey | None, epochs: int
) -> StageKey:
    """What fine-tuning from the encoder after `epochs` epochs under `origin` is stored under.

    Of a probe, `origin` is the key of the features that it reads.
    """
    read = {
        "data": data.fingerprint,
        "pretrain": None if origin is None else origin.digest,
        "finetune": config.finetune.identity(),
        "runtime": config.runtime.key(),
    } | label_identity(config)
    if config.finetune.train != PROBE:
        read |= {
            "mean": data.mean,
            "std": data.std,
            "model": config.model.identity(),
            "pretrain_epochs": epochs,
            "augment": augmentation(config, data).model_dump(mode="json"),
        }
    return StageKey(FINETUNE, VERSION, read)


def finetune_stage(inputs: Inputs, encoder: Artifact | None, key: StageKey) -> Stage:
    """The fine-tuning of a trial from `encoder` (None: from random weights)."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        return _Finetuning(inputs, encoder).run(start, due)

    return Stage(key, inputs.config.finetune.epochs, compute)


class _Outputs(NamedTuple):
    """What the network makes of images: `logits` (N, classes), float32, on the device, and
    `features` (N, D) that its head read, in half precision; None where they were there before."""

    logits: Tensor
    features: Tensor | None


class _Finetuning:
    """Networks, criterion, optimiser and the best epoch so far in the middle of a run."""

    def __init__(self, inputs: Inputs, encoder: Artifact | None) -> None:
        config, data, labels = inputs.config, inputs.data, inputs.labels
        self.plan, self.runtime = config.finetune, config.runtime
        self.device = self.runtime.torch_device
        self.ordering = inputs.stream(FINETUNE, "order")
        self.drawing = inputs.stream(FINETUNE, "method")
        self.samples, self.reads = samples_of(inputs), inputs.features
        self.networks = [self._network(inputs, encoder, n) for n in range(self.plan.networks)]
        self.network = self.networks[0]
        self.forwards = [self._forward(each) for each in self.networks]
        self.optimizer = self.plan.build_optimizer(
            nn.ModuleList(self.networks), self.device, self._scales()
        )
        self.noisy = torch.from_numpy(labels.train).to(self.device)
        self.clean_test = data.y_test.to(self.device)
        self.fit = torch.from_numpy(labels.fit).to(self.device)
        self.criterion = self.plan.criterion(self._task(inputs))
        self.selected_on, self.detected = labels.selected, labels.detected
        self.noisy_selected = torch.from_numpy(labels.selected.noisy).to(self.device)
        self.corrupted = torch.from_numpy(_corrupted(inputs)).to(self.device)
        self.sizes = self.plan.batches(len(self.fit))
        self.points: list[MetricPoint] = []
        self.whole: Tensor | None = None
        self.selected: dict[str, Tensor] = {}
        self.predicted: dict[str, Tensor] = {}
        self.predictions: list[Tensor] = []
        self.margins: Tensor | None = torch.zeros(())
        self.seen = SeenPredictions(len(self.fit), self.device)
        self.seconds = 0.0

    def _network(self, inputs: Inputs, encoder: Artifact | None, number: int) -> Classifier:
        """Network `number` (0-based): of one encoder, each with weights of its own where that
        leaves some out."""
        width = None if self.reads is None else self.reads.width
        backbone = inputs.begun(encoder, number) if width is None else NoBackbone(width)
        with inputs.stream(FINETUNE, "initialisation").initialising(number):
            network = Classifier(backbone, inputs.data.classes, self.plan.head_width)
        return self.runtime.place(network)

    def _scales(self) -> dict[nn.Parameter, float]:
        of_each = [self.plan.scales(network.backbone.by_depth()) for network in self.networks]
        return {weight: scale for scales in of_each for weight, scale in scales.items()}

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
            if self.margins is not None:
                self.margins = self.margins + margins(judged.logits)
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
        self.whole = None
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
        parts = order.to(self.device).split(self.sizes)
        random = self.drawing.generator(epoch)
        with self.samples.learning(epoch, [self.fit[part] for part in parts]) as batches:
            for images, rows in zip(batches, parts, strict=True):
                batch = Batch(images, self.noisy[self.fit[rows]], rows, random)
                first = self.seen.watching(self.forwards[0], batch)
                yield self.criterion.step([first, *self.forwards[1:]], batch)

    def _choices(self) -> list[Choice]:
        """The choices of epoch that fall on the last one, as far as is known by now."""
        chosen, now = choose_epochs(self.points), self.points[-1]
        return [choice for choice, point in chosen.items() if point is now]

    def _evaluate(self, train_loss: float) -> tuple[Metrics, _Outputs, _Outputs]:
        """The metrics of an epoch, and what the network makes of test set and detection part."""
        test = self._outputs(self.samples.test)
        validation, detection = (
            self._outputs_of(part, test) for part in (self.selected_on, self.detected)
        )
        noisy = self.noisy_selected
        plain = None if self.seen.complete else self._classes(self.fit)
        values: Metrics = {
            "train/loss": train_loss,
            CHANGED: self.seen.changed(plain),
            "val/loss": float(F.cross_entropy(validation.logits, noisy)),
            "val/accuracy": _agreement(validation.logits, noisy),
            "test/loss": float(F.cross_entropy(test.logits, self.clean_test)),
            "test/accuracy": _agreement(test.logits, self.clean_test),
            "detect/memorisation": self._memorisation(plain),
        }
        return values, test, detection

    def _memorisation(self, plain: Tensor | None) -> float | None:
        """Share of the corrupted training images predicted as their wrong label; `plain`
        predictions of all that are trained on spare a pass."""
        if len(self.corrupted) == 0:
            return None
        rows = self.fit[self.corrupted]
        predicted = self._classes(rows) if plain is None else plain[self.corrupted]
        return _share(predicted == self.noisy[rows])

    def _classes(self, rows: Tensor) -> Tensor:
        """What the network takes these training images for, as they are."""
        return self._of_training(rows).logits.argmax(1)

    def _probabilities(self) -> Tensor:
        return torch.softmax(self._of_training(self.fit).logits, dim=1)

    def _outputs_of(self, part: HeldOut, test: _Outputs) -> _Outputs:
        """Those of a held-out part; those of the test set are known already."""
        if part.part == "test":
            return test
        return self._of_training(torch.from_numpy(part.rows).to(self.device))

    def _of_training(self, rows: Tensor) -> _Outputs:
        """Those of training images at `rows`: of features all are passed at once, which takes less
        time than to gather some."""
        if self.reads is None:
            return self._outputs(self.samples.train, rows)
        if self.whole is None:
            self.whole = self._outputs(self.samples.train).logits
        return _Outputs(self.whole[rows], None)

    @torch.no_grad()
    def _outputs(self, images: Feed, rows: Tensor | None = None) -> _Outputs:
        self.network.eval()
        count = len(images) if rows is None else len(rows)
        logits, kept = Rows(count), Rows(count)
        largest = torch.finfo(torch.half).max
        with images.passing(rows) as batches, self.runtime.autocast():
            for batch in batches:
                plain = self.runtime.arrange(self.samples.plain(batch))
                features = self.network.backbone(plain)
                logits.add(self.network.head(features).float())
                if self.reads is None:
                    kept.add(features.clamp(-largest, largest).half())
        return _Outputs(logits.whole(), kept.whole() if self.reads is None else None)

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
        # Checkpoints of earlier versions lack them, and the sum of a part would mislead.
        self.margins = kept.get(MARGINS)
        self.seen.restore(kept)
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
        state = pack_optimizer(self.optimizer) | self.seen.state()
        for prefix, module in self._modules():
            state |= pack_module(prefix, module)
        return state

    def _artifact(self, tensors: dict[str, Tensor]) -> Artifact:
        judged = {PREDICTIONS: torch.stack(self.predictions)}
        if self.margins is not None:
            judged[MARGINS] = self.margins
        kept = self.selected | self.predicted | tensors | judged
        return Artifact(kept, record_of(self.points, self.seconds))


def _kept(outputs: _Outputs, choice: str) -> dict[str, Tensor]:
    """What is kept of the detection part at a choice of epoch."""
    kept = {LOGITS: outputs.logits, FEATURES: outputs.features}
    return {f"{name}.{choice}": each.cpu() for name, each in kept.items() if each is not None}


def _corrupted(inputs: Inputs) -> np.ndarray:
    """The places, among the images trained on, of those whose label is wrong; none where nobody
    knows which are."""
    labels, data = inputs.labels, inputs.data
    wrong = labels.train[labels.fit] != data.y_train.numpy()[labels.fit]
    return np.flatnonzero(wrong & data.labels_clean)


def _require_finite(values: Metrics, epoch: int) -> None:
    # The last step of an epoch can break a network whose losses up to there were finite.
    given = {name: value for name, value in values.items() if value is not None}
    broken = [name for name, value in given.items() if not math.isfinite(value)]
    if broken:
        raise DivergedError(f"{', '.join(broken)} of epoch {epoch} is not finite")


def _agreement(logits: Tensor, labels: Tensor) -> float:
    return _share(logits.argmax(1) == labels)


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())
