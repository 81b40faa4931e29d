"""Features of small pictures without training: how alike their patches are to some of them.

After Coates, Ng and Lee (2011, "An analysis of single-layer networks in unsupervised feature
learning"): patches of all images are normalised and whitened, some are drawn as filters, and their
rectified responses are averaged over quarters of an image; principal components of these are the
features. No label is read. On a CPU they are ahead of networks until these had hours.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noisetune.data.base import ImageData
from noisetune.records import EXTRACT, Tick
from noisetune.seeds import Stream
from noisetune.stages.base import Checkpoint, Stage, StageEvent, Start, record_of
from noisetune.store import Artifact, StageKey
from noisetune.training.loop import TICK_SECONDS
from noisetune.training.rows import Rows
from noisetune.training.runtime import Runtime

VERSION = 1
SIDE, STRIDE = 6 / 32, 2 / 32
"""Of a patch and from one to the next, in sides of the image."""
SAMPLED, FITTED, WIDEST = 20_000, 2_500, 512
"""Patches that whitening is of, images that components are of, and components at most."""
CONTRAST, WHITENING, THRESHOLD = 0.01, 0.1, 0.5
AT_ONCE = 2**23
"""Responses that are computed at a time: 32 MiB of them, some times over."""
COUNTS = (1600, 800, 400, 200)
"""How many filters there may be."""


@dataclass(frozen=True)
class Filters:
    """Whitened filters (n, C, side, side) as weights of a convolution, with what the patches' mean
    takes from each response (n,)."""

    weights: Tensor
    shift: Tensor
    stride: int

    def responses(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) -> rectified responses in quarters (B, 8 n), their roots."""
        pixels = images.float() / 255
        side = self.weights.shape[-1]
        mean = F.avg_pool2d(pixels.mean(1, keepdim=True), side, self.stride)
        square = F.avg_pool2d(pixels.square().mean(1, keepdim=True), side, self.stride)
        contrast = (square - mean.square()).clamp_min(0).add(CONTRAST).sqrt()
        plain = F.conv2d(pixels, self.weights, stride=self.stride)
        level = self.weights.sum((1, 2, 3))[:, None, None] * mean
        response = (plain - level) / contrast - self.shift[:, None, None]
        both = (F.relu(each - THRESHOLD) for each in (response, -response))
        return torch.cat([F.adaptive_avg_pool2d(each, 2) for each in both], dim=1).flatten(1).sqrt()


def patches_key(data: ImageData, filters: int, runtime: Runtime) -> StageKey:
    """What the features of so many filters are stored under."""
    read = {"patches": filters, "images": data.train_images_hash, "runtime": runtime.key()}
    return StageKey(EXTRACT, VERSION, read)


def patches_stage(data: ImageData, filters: int, runtime: Runtime) -> Stage:
    """The features (N, D) of all images, as `features_in` reads them."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        began = time.monotonic()
        fitted = fit_filters(data, filters)
        basis = _basis(data, fitted)
        rows, last = Rows(len(data.x_train)), time.monotonic()
        for batch in data.x_train.split(batch_size(data, filters)):
            rows.add((fitted.responses(batch) - basis[0]) @ basis[1])
            if time.monotonic() - last > TICK_SECONDS:
                yield Tick(EXTRACT, rows.filled / len(data.x_train))
                last = time.monotonic()
        features = rows.whole()
        features = features / features.square().mean().sqrt().clamp_min(CONTRAST)
        yield Tick(EXTRACT, 1.0)
        record = record_of([], time.monotonic() - began)
        yield Checkpoint(1, Artifact({"train": features, "test": features[:0].clone()}, record))

    return Stage(patches_key(data, filters, runtime), 1, compute)


def batch_size(data: ImageData, filters: int) -> int:
    """How many images are passed at once."""
    height, width = data.size
    stride = max(1, round(STRIDE * min(data.size)))
    return max(1, AT_ONCE // (filters * (height // stride) * (width // stride)))


def fit_filters(data: ImageData, count: int) -> Filters:
    """So many patches of the images, whitened as all of them are."""
    side = max(3, round(SIDE * min(data.size)))
    patches = _sampled(data, side)
    mean = patches.mean(0)
    covariance = (patches - mean).T @ (patches - mean) / (len(patches) - 1)
    values, vectors = torch.linalg.eigh(covariance.double())
    whiten = (vectors / (values.clamp_min(0) + WHITENING).sqrt() @ vectors.T).float()
    drawn = F.normalize((patches[:count] - mean) @ whiten, dim=1)
    weights = drawn @ whiten
    stride = max(1, round(STRIDE * min(data.size)))
    shaped = weights.reshape(len(weights), data.channels, side, side)
    return Filters(shaped, weights @ mean, stride)


def _sampled(data: ImageData, side: int) -> Tensor:
    """Patches (P, C * side * side) of random images, with mean 0 and like contrast."""
    rng = Stream(0, EXTRACT, "sample").rng()
    height, width = data.size
    rows = rng.integers(0, len(data.x_train), SAMPLED)
    tops, lefts = (rng.integers(0, edge - side + 1, SAMPLED) for edge in (height, width))
    images = data.x_train.numpy()
    cut = np.stack(
        [
            images[row, :, top : top + side, left : left + side]
            for row, top, left in zip(rows, tops, lefts, strict=True)
        ]
    )
    patches = torch.from_numpy(cut).flatten(1).float() / 255
    centred = patches - patches.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + CONTRAST).sqrt()


def _basis(data: ImageData, filters: Filters) -> tuple[Tensor, Tensor]:
    """The mean response (R,), and the directions (R, D) of the principal components, each divided
    by the root of its deviation: strong ones count for less."""
    rows = Stream(0, EXTRACT, "order").rng().permutation(len(data.x_train))[:FITTED]
    chosen = data.x_train[torch.from_numpy(np.sort(rows))]
    size = batch_size(data, len(filters.weights))
    kept = Rows(len(chosen))
    for batch in chosen.split(size):
        kept.add(filters.responses(batch))
    responses = kept.whole()
    mean = responses.mean(0)
    centred = responses - mean
    values, vectors = torch.linalg.eigh((centred @ centred.T).double())
    wide = max(2, min(WIDEST, len(rows) // 4))
    values, vectors = values[-wide:].clamp_min(1e-6), vectors[:, -wide:]
    deviation = (values / len(rows)).sqrt()
    return mean, centred.T @ (vectors / values.sqrt() / deviation.sqrt()).float()


def seconds_of_a_filter(data: ImageData) -> float:
    """How long one filter takes for the features of all images on this machine, by a few."""
    fitted = fit_filters(data, COUNTS[-1])
    batch = data.x_train[: batch_size(data, COUNTS[-1])]
    fitted.responses(batch)
    began = time.monotonic()
    fitted.responses(batch)
    each = (time.monotonic() - began) / len(batch) / COUNTS[-1]
    return each * (len(data.x_train) + min(FITTED, len(data.x_train)))


def flops_of_a_filter(data: ImageData) -> int:
    """Floating-point operations of one filter on one image."""
    side, stride = (max(1, round(share * min(data.size))) for share in (SIDE, STRIDE))
    places = ((data.size[0] - side) // stride + 1) * ((data.size[1] - side) // stride + 1)
    return 2 * places * data.channels * side**2
