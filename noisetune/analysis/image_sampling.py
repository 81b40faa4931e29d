"""The sampling error of the test set: what another draw of test images would have given.

All replicates are scored on the same images, so that their spread says nothing of it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisetune.analysis.statistics import Interval

RESAMPLES = 10_000


def interval_over_images(
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval, over test images, of the mean accuracy of an arm's replicates, 0..1; with
    `b` of the difference a - b, the same images being drawn for both arms.

    `a` and `b` hold, for each replicate, which of the N images are right (N,), in one order. The
    interval is conditional on the networks: it stands beside the one over replicates. `n` is N;
    `low` and `high` are None for fewer than two images. ValueError where N differs.
    """
    gain = _share_right(a) if b is None else _difference(_share_right(a), _share_right(b))
    images = len(gain)
    if images < 2:
        return Interval(float(gain[0]) if images else None, None, None, images)
    # Images of one value are alike: how often each value is drawn is all that a mean reads.
    values, counts = np.unique(gain, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(images, counts / images, size=resamples)
    low, high = np.quantile(drawn @ values / images, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(gain.mean()), float(low), float(high), images)


def _share_right(replicates: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """For each image (N,) the share of replicates that are right."""
    right = [np.asarray(each, dtype=np.bool_) for each in replicates]
    if not right or any(each.shape != (right[0].size,) for each in right):
        shapes = sorted({each.shape for each in right})
        raise ValueError(f"replicates: shapes {shapes}, they must be of the same images (N,)")
    return np.mean(right, axis=0, dtype=np.float64)


def _difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    if a.shape != b.shape:
        raise ValueError(f"a and b: {len(a)} and {len(b)} images, they must be the same ones")
    return a - b
