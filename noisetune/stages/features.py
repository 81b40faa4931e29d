"""Features of the plain images, for heads that are trained on them: computed once for an encoder.

They hang on no label: every noise rate, split and setting of fine-tuning shares them.
"""

import time
from collections.abc import Callable, Generator, Iterator

import torch
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData, Statistics
from noisetune.models.base import Backbone, build_head
from noisetune.records import EXTRACT, Tick
from noisetune.ssl.base import Features, GivenFeatures, SSLConfig
from noisetune.stages import pretrain
from noisetune.stages.base import Checkpoint, Inputs, Stage, StageEvent, Start, record_of
from noisetune.store import Artifact, StageKey
from noisetune.training.augment import normalise
from noisetune.training.feeding import Feed
from noisetune.training.loop import TICK_SECONDS, DivergedError
from noisetune.training.optimisation import FORWARD_PASS
from noisetune.training.rows import Rows
from noisetune.training.speed import forward_flops

VERSION = 1
PASSES = 1
"""Steps of the stage: one pass over all images."""
Scale = tuple[Statistics, Statistics] | tuple[None, None]


def extract_key(
    config: TrialConfig, data: ImageData, origin: StageKey | None, epochs: int
) -> StageKey:
    """What the features by the encoder after `epochs` epochs under `origin` are stored under."""
    mean, std = scale(config, data)
    read = {
        "images": [data.train_images_hash, data.test_images_hash],
        "mean": mean,
        "std": std,
        "model": config.model.identity(),
        "pretrain": None if origin is None else origin.digest,
        "pretrain_epochs": epochs,
        "runtime": config.runtime.key(),
        # Of an encoder that is not pre-trained here, some weights may be a replicate's own.
        "replicate": None if isinstance(config.pretrain, SSLConfig) else config.replicate,
    }
    return StageKey(EXTRACT, VERSION, read)


def scale(config: TrialConfig, data: ImageData) -> Scale:
    """Mean and deviation that images are normalised by: as the encoder's pre-training saw them."""
    method = config.pretrain
    if isinstance(method, SSLConfig) and not pretrain.augmentation(method, data).normalise:
        return None, None
    return data.mean, data.std


def extract_stage(inputs: Inputs, encoder: Artifact | None, key: StageKey) -> Stage:
    """The features of all images by `encoder` (None: by random weights), as `features_in` reads
    them; DivergedError where they are not finite."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        began = time.monotonic()
        backbone = inputs.config.runtime.place(inputs.begun(encoder)).eval()
        train = yield from _extracted(inputs, backbone, inputs.data.x_train)
        test = yield from _extracted(inputs, backbone, inputs.data.x_test)
        yield Tick(EXTRACT, 1.0)
        record = record_of([], time.monotonic() - began)
        yield Checkpoint(PASSES, Artifact({"train": train, "test": test}, record))

    return Stage(key, PASSES, compute)


def features_in(artifact: Artifact) -> Features:
    """What `extract_stage` kept."""
    return Features(artifact.tensors["train"], artifact.tensors["test"])


def _extracted(inputs: Inputs, backbone: Backbone, images: Tensor) -> Generator[Tick, None, Tensor]:
    """Features (N, D), float32, on the CPU."""
    runtime, statistics = inputs.config.runtime, scale(inputs.config, inputs.data)
    rows, last_tick = Rows(len(images)), time.monotonic()
    with Feed(images, runtime).passing() as batches:
        for batch in batches:
            with torch.no_grad(), runtime.autocast():
                features = backbone(runtime.arrange(normalise(batch, *statistics)))
            rows.add(features.float().cpu())
            if time.monotonic() - last_tick > TICK_SECONDS:
                yield Tick(EXTRACT, rows.filled / len(images))
                last_tick = time.monotonic()
    whole = rows.whole()
    if not whole.isfinite().all():
        raise DivergedError("the encoder's features of the plain images are not finite")
    return whole


def feature_width(config: TrialConfig, data: ImageData) -> int:
    """The values of a feature that the head of a trial reads."""
    if isinstance(config.pretrain, GivenFeatures):
        return config.pretrain.width()
    with torch.device("meta"):
        return config.model.build(data.channels, data.size).feature_dim


def probe_passes(config: TrialConfig, data: ImageData, features: Features) -> float:
    """The cost of a probe, in passes of each training image through the whole network.

    That is the features of the plain images, and the steps of the head by its share of the
    network's operations. Given features cost nothing, and the head is the network then.
    """
    tuning = config.finetune.epochs * config.finetune.passes
    encoder, head = probe_flops(config, data, features)
    return tuning * head / (head + encoder) + (FORWARD_PASS if encoder else 0.0)


def probe_flops(config: TrialConfig, data: ImageData, features: Features) -> tuple[int, int]:
    """Floating-point operations of a forward pass of one image: through the encoder, 0 for given
    features, and through the head."""
    given = isinstance(config.pretrain, GivenFeatures)
    encoder = 0 if given else forward_flops(config.model, data.shape)
    return encoder, head_flops(config, features.width, data.classes)


def head_flops(config: TrialConfig, width: int, classes: int) -> int:
    """Floating-point operations of the head for one image: two for each weight."""
    with torch.device("meta"):
        head = build_head(width, classes, config.finetune.head_width)
    return sum(2 * weight.numel() for weight in head.parameters() if weight.dim() > 1)
