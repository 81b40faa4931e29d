"""What is known of uint8 images: digests of them, the mean and the deviation of their channels."""

import hashlib
from dataclasses import dataclass
from operator import add

import numpy as np
import torch
from torch import Tensor

Statistics = tuple[float, ...]
IMAGES_AT_ONCE = 1024
DIGEST_BYTES = 16


def content_hash(tensor: Tensor) -> str:
    """SHA-256 over dtype, shape and bytes."""
    array = np.ascontiguousarray(tensor.numpy())
    digest = content_digest(array.dtype, array.shape)
    digest.update(array.reshape(-1).data)
    return digest.hexdigest()[:32]


def content_digest(dtype: np.dtype, shape: tuple[int, ...]) -> "hashlib._Hash":
    """The digest that `content_hash` feeds an array's bytes to."""
    return hashlib.sha256(f"{dtype}{shape}".encode())


@dataclass(frozen=True)
class ChannelSums:
    """Values of each channel, summed, and their squares: whole numbers of any size.

    A floating-point sum would differ in its last bits with the number of threads, or of parts.
    """

    count: int
    totals: tuple[int, ...]
    squares: tuple[int, ...]

    @classmethod
    def none(cls, channels: int) -> "ChannelSums":
        return cls(0, (0,) * channels, (0,) * channels)

    @classmethod
    def of(cls, images: Tensor) -> "ChannelSums":
        """Of uint8 images (N, C, H, W)."""
        values = torch.arange(256)
        counts = [
            torch.bincount(channel.flatten(), minlength=256) for channel in images.transpose(0, 1)
        ]
        return cls(
            int(counts[0].sum()),
            tuple(int((each * values).sum()) for each in counts),
            tuple(int((each * values.square()).sum()) for each in counts),
        )

    def __add__(self, other: "ChannelSums") -> "ChannelSums":
        return ChannelSums(
            self.count + other.count,
            tuple(map(add, self.totals, other.totals)),
            tuple(map(add, self.squares, other.squares)),
        )

    def statistics(self) -> tuple[Statistics, Statistics]:
        """Mean and deviation per channel, in [0, 1] pixel units."""
        sums = zip(self.totals, self.squares, strict=True)
        moments = [
            (total / self.count, (squares - total**2 / self.count) / (self.count - 1))
            for total, squares in sums
        ]
        means = tuple(mean / 255 for mean, _ in moments)
        return means, tuple(max(variance**0.5 / 255, 1e-3) for _, variance in moments)


def channel_statistics(images: Tensor) -> tuple[Statistics, Statistics]:
    """Mean and deviation per channel of uint8 (N, C, H, W) images, in [0, 1] pixel units.

    They are part of stage keys, and so are the same to the last bit wherever they are computed.
    """
    parts = (ChannelSums.of(part) for part in images.split(IMAGES_AT_ONCE))
    return sum(parts, start=ChannelSums.none(images.shape[1])).statistics()


def contents_of(images: Tensor) -> list[bytes]:
    """A digest of the shape and the pixels of each of the images (N, C, H, W)."""
    rows = np.ascontiguousarray(images.numpy()).reshape(len(images), -1)
    whole = content_digest(rows.dtype, tuple(images.shape[1:]))
    return [_followed_by(whole, row) for row in rows]


def _followed_by(begun: "hashlib._Hash", row: np.ndarray) -> bytes:
    digest = begun.copy()
    digest.update(row.data)
    return digest.digest()[:DIGEST_BYTES]
