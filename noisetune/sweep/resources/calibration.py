"""How fast this machine is at a stage, and how large its results are: measured on a few batches."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.finetuning.base import PROBE, PROBED
from noisetune.models.base import Classifier, NoBackbone
from noisetune.records import DETECT, DETECT_CV, EXTRACT, FINETUNE, FOLD, PRETRAIN
from noisetune.ssl.base import Features, SSLConfig
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.features import extract_key, extract_stage, feature_width
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.labels import NoisyLabels
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.unlabelled import more_images
from noisetune.training.feeding import EVALUATION_BATCH, RESIDENT_SHARE, is_resident

BATCHES = 4
OPTIMIZER_COPIES = {"adam": 2, "adamw": 2, "sgd": 1, "lars": 1}


@dataclass(frozen=True)
class Speed:
    seconds_per_epoch: float


def calibrate(stage: str, config: TrialConfig, data: ImageData, known: dict[str, Speed]) -> Speed:
    """The seconds of an epoch of a stage; what is in `known` already is not measured again."""
    part = config.pretrain if stage == PRETRAIN else config.finetune
    batch = getattr(part, "batch_size", 1)
    way = part.method, config.finetune.train in ("head", PROBE), config.finetune.head_width
    more = getattr(part, "unlabelled", None)
    kind = repr((stage, config.data, config.model, config.runtime, batch, way, more))
    if kind not in known:
        images = min(len(data.x_train), (EVALUATION_BATCH if stage == EXTRACT else batch) * BATCHES)
        tests = max(1, round(len(data.x_test) * images / len(data.x_train)))
        seconds = _epoch_seconds(_small(stage, config, data, images, tests))
        seen = len(data.x_train)
        if stage == PRETRAIN and isinstance(config.pretrain, SSLConfig):
            seen = round(seen * (1 + more_images(config.pretrain, data)))
        known[kind] = Speed(seconds * seen / images)
    return known[kind]


def peak_bytes(config: TrialConfig, data: ImageData) -> int:
    """The most bytes of its GPU that a trial holds, from a few batches of each stage."""
    torch.cuda.reset_peak_memory_stats()
    batches = [(FINETUNE, config.finetune.batch_size)]
    if isinstance(config.pretrain, SSLConfig):
        batches.append((PRETRAIN, config.pretrain.batch_size))
    if config.finetune.train == PROBE and config.has_backbone:
        batches.append((EXTRACT, EVALUATION_BATCH))
    for stage, batch in batches:
        images = min(len(data.x_train), batch * BATCHES)
        _epoch_seconds(_small(stage, config, data, images, len(data.x_test)))
    peak, held = torch.cuda.max_memory_allocated(), _largest_held(config, data)
    if not is_resident(held, config.runtime):
        return peak
    # A stage holds all training images there, of which these few batches were a part; in a
    # smaller share than this it would not.
    return max(peak + held.nbytes, int(held.nbytes / RESIDENT_SHARE))


def _largest_held(config: TrialConfig, data: ImageData) -> Tensor:
    """The training images, or features of them, that take more memory; they have no content."""
    held = [data.x_train] if config.has_backbone else []
    if config.finetune.train == PROBE:
        shape = len(data.x_train), feature_width(config, data)
        held.append(torch.empty(shape, device="meta"))
    return max(held, key=lambda each: each.nbytes)


def _small(stage: str, config: TrialConfig, data: ImageData, images: int, tests: int) -> Stage:
    """The stage on the first few images of each part, for two epochs: the first one warms up."""
    small = replace(
        data,
        x_train=data.x_train[:images],
        y_train=data.y_train[:images],
        x_test=data.x_test[:tests],
        y_test=data.y_test[:tests],
    )
    positions = np.arange(images)
    held_out = max(1, round(images * config.data.validation_fraction))
    labels = NoisyLabels(
        small.y_train.numpy(),
        small.y_test.numpy(),
        positions[held_out:],
        positions[:held_out],
    )
    config.runtime.apply()
    if stage == PRETRAIN:
        assert isinstance(config.pretrain, SSLConfig)
        method = config.pretrain.model_copy(update={"unlabelled": None})
        key = pretrain_key(config.model_copy(update={"pretrain": method}), small)
        assert key is not None
        return pretrain_stage(Inputs(config, small, labels), method, key, 2)
    if stage == EXTRACT:
        inputs = Inputs(config, small, labels)
        return extract_stage(inputs, None, extract_key(config, small, None, 0))
    # Of a fine-tuning in two parts, the one that takes more time and memory.
    train = "all" if config.finetune.train == PROBED else config.finetune.train
    finetune = config.finetune.model_copy(update={"epochs": 2, "train": train})
    tuned = config.model_copy(update={"finetune": finetune})
    features = _made_up(tuned, small) if train == PROBE else None
    inputs = Inputs(tuned, small, labels, features=features)
    return finetune_stage(inputs, None, finetune_key(tuned, small, None, 0))


def _made_up(config: TrialConfig, data: ImageData) -> Features:
    """Features for these images, whose values decide no time."""
    width = feature_width(config, data)
    return Features(torch.zeros(len(data.x_train), width), torch.zeros(len(data.x_test), width))


def _epoch_seconds(stage: Stage) -> float:
    """Of the second epoch, or of the only pass."""
    times = [time.monotonic()]
    for event in stage.compute(None, lambda step: False):
        if getattr(event, "step", 0) == len(times):
            times.append(time.monotonic())
        if len(times) > stage.total:
            break
    return times[-1] - times[-2]


def stage_bytes(stage: str, config: TrialConfig, data: ImageData) -> int:
    """Bytes of a stored result: weights, optimiser state, features, logits, predictions."""
    if stage == DETECT:
        return 8 * len(data.x_test)
    if stage == DETECT_CV:
        return 8 * len(data.x_train)
    if stage == EXTRACT:
        return 4 * (len(data.x_train) + len(data.x_test)) * feature_width(config, data)
    if stage in (FINETUNE, FOLD):
        return _tuned_bytes(stage, config, data)
    with torch.device("meta"):
        backbone = config.model.build(data.channels, data.size)
        method = config.pretrain
        assert isinstance(method, SSLConfig)
        weights = _numbers(method.learner(backbone))
    copies = 1 + OPTIMIZER_COPIES[method.optimizer]
    return 4 * weights * copies + 2 * len(data.x_train) * backbone.feature_dim


def _tuned_bytes(stage: str, config: TrialConfig, data: ImageData) -> int:
    """Of a network, and what is kept of the images that it is judged on."""
    width, probe = feature_width(config, data), config.finetune.train == PROBE
    with torch.device("meta"):
        backbone = NoBackbone(width) if probe else config.model.build(data.channels, data.size)
        weights = _numbers(Classifier(backbone, data.classes, config.finetune.head_width))
    judged = 4 * data.classes + (0 if probe else 2 * width)
    predicted = 2 * config.finetune.epochs
    if stage == FOLD:
        return len(data.x_train) * (judged + predicted) // (config.detect.folds or 1)
    return 4 * weights + len(data.x_test) * (2 * judged + predicted)


def _numbers(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values())
