"""Random augmentation of a batch on its device, with fresh parameters for every sample.

torchvision's random transforms draw one set of parameters for a whole batch. Here parameters are
drawn ahead, for an epoch at once, and row i of them is applied to sample i, however the epoch is
cut into batches.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from noisetune.errors import UserError
from noisetune.section import Section
from noisetune.training import augment_ops as ops

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
HueStrength = Annotated[float, Field(ge=0, le=0.5)]

ADJUSTMENTS = (
    ops.adjust_brightness,
    ops.adjust_contrast,
    ops.adjust_saturation,
    ops.adjust_hue,
)
ATTEMPTS = 10  # of torchvision's RandomResizedCrop, before it falls back to a central crop


class AugmentConfig(Section):
    """Which operations run and how strongly; the default runs none.

    Parameters mean what they mean in torchvision; every image of a batch draws its own.
    """

    crop_scale: tuple[Share, Share] | None = None
    """Random resized crop: least and largest share of the area; null for off."""
    crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    """The crop's least and largest width over height."""
    pad: Annotated[int, Field(ge=0)] = 0
    """Zero-pad by so many pixels, then crop to the original size at random; not with
    `crop_scale`."""
    flip: Probability = 0.0
    """Chance of mirroring left and right."""
    jitter: tuple[Strength, Strength, Strength, HueStrength] | None = None
    """Strengths of brightness, contrast, saturation and hue, adjusted always in this order
    (torchvision draws an order for each image); null for off."""
    jitter_probability: Probability = 0.8
    """Chance of the jitter."""
    grayscale: Probability = 0.0
    """Chance of losing colour."""
    blur: Probability = 0.0
    """Chance of a Gaussian blur."""
    blur_kernel: Annotated[int, Field(ge=1)] = 3
    """Width of the blur's kernel in pixels, an odd number."""
    blur_sigma: tuple[Positive, Positive] = (0.1, 2.0)
    """Least and largest standard deviation of the blur, in pixels."""
    solarize: Probability = 0.0
    """Chance of inverting what is 0.5 or brighter."""
    normalise: bool = True
    """Take out the data set's mean and deviation at the end; evaluation does the same."""

    @field_validator("crop_scale", "crop_ratio", "blur_sigma")
    @classmethod
    def _increasing(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and bounds[0] > bounds[1]:
            raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
        return bounds

    @field_validator("blur_kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"{kernel} is even; the kernel needs a middle pixel")
        return kernel

    @model_validator(mode="after")
    def _one_crop(self) -> Self:
        if self.crop_scale is not None and self.pad:
            raise ValueError("crop_scale and pad are both random crops; set one of them")
        return self


@dataclasses.dataclass(frozen=True)
class Draws:
    """The parameters of n samples, a row each; None where an operation is off.

    row: (n,) int64, the place in the sample. box: (n, 4) int64 as top, left, height, width.
    offset: (n, 2) int64 as top, left. flip, grayscale, solarize: (n,) bool. jitter: (n, 4) float32,
    brightness, contrast and saturation factors and the hue's turn, (1, 1, 1, 0) for no jitter.
    sigma: (n,) float32 in pixels, 0 for no blur.
    """

    row: Tensor
    box: Tensor | None = None
    offset: Tensor | None = None
    flip: Tensor | None = None
    jitter: Tensor | None = None
    grayscale: Tensor | None = None
    sigma: Tensor | None = None
    solarize: Tensor | None = None

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: slice | Tensor) -> "Draws":
        return self._map(lambda tensor: tensor[rows])

    def split(self, sizes: Sequence[int]) -> "list[Draws]":
        """Batches of so many rows, in turn."""
        return [self[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]

    def to(self, device: torch.device | str) -> "Draws":
        """Move to a device; from CPU to CUDA through pinned memory, without waiting."""
        target = torch.device(device)
        if target.type == "cuda" and self.row.device.type == "cpu":
            return self._map(lambda tensor: tensor.pin_memory().to(target, non_blocking=True))
        return self._map(lambda tensor: tensor.to(target))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Draws":
        tensors = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = {name: change(value) for name, value in tensors.items() if value is not None}
        return dataclasses.replace(self, **changed)


class Augment:
    """Draws parameters for images of one size, and applies them.

    The order is crop, flip, jitter, grayscale, blur, solarize, normalisation. Jitter goes through
    brightness, contrast, saturation, hue in this order, where torchvision shuffles it: a fixed
    order is one graph for the whole batch, without waiting for the device. Grey images (C = 1)
    know neither saturation, hue nor grayscale.
    """

    def __init__(
        self,
        config: AugmentConfig,
        size: tuple[int, int],
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        out: tuple[int, int] | None = None,
    ) -> None:
        """size is (H, W); mean and std are per channel of images in [0, 1], both or neither.

        `out` is the size of what is made, by default that of the images; another one needs a
        `crop_scale`. UserError for a blur wider than that.
        """
        _check_moments(mean, std)
        self.config, self.size, self.out = config, size, out or size
        if self.out != size and config.crop_scale is None:
            raise UserError("crop_scale: views of another size than the image are crops; set it")
        if config.blur and config.blur_kernel // 2 >= min(self.out):
            raise UserError(
                f"blur_kernel: {config.blur_kernel} is too wide for images of "
                f"{self.out[0]}x{self.out[1]}; choose an odd number below {2 * min(self.out)}"
            )
        self.mean, self.std = (mean, std) if config.normalise else (None, None)
        jitters = config.jitter_probability > 0 and any(config.jitter or ())
        widths = {  # how many uniform numbers a sample takes
            "box": (2 * ATTEMPTS + 2) * (config.crop_scale is not None),
            "offset": 2 * (config.pad > 0),
            "flip": int(config.flip > 0),
            "jitter": 5 * jitters,
            "grayscale": int(config.grayscale > 0),
            "sigma": 2 * (config.blur > 0),
            "solarize": int(config.solarize > 0),
        }
        self._widths = {name: width for name, width in widths.items() if width}

    def sample(self, count: int, generator: torch.Generator) -> Draws:
        """Draw `count` rows from a CPU generator.

        Every row takes the same number of values, one row after the other: what row i gets does
        not depend on count, and two calls give together what one call for both would.
        """
        uniform = torch.rand(count, sum(self._widths.values()), generator=generator)
        parts = uniform.split(list(self._widths.values()), dim=1)
        draw = {
            "box": lambda u: draw_boxes(
                u, self.size, self.config.crop_scale or (1, 1), self.config.crop_ratio
            ),
            "offset": lambda u: (u * (2 * self.config.pad + 1)).long(),
            "flip": lambda u: u[:, 0] < self.config.flip,
            "jitter": self._draw_jitter,
            "grayscale": lambda u: u[:, 0] < self.config.grayscale,
            "sigma": self._draw_sigma,
            "solarize": lambda u: u[:, 0] < self.config.solarize,
        }
        values = {name: draw[name](part) for name, part in zip(self._widths, parts, strict=True)}
        return Draws(row=torch.arange(count), **values)

    def _draw_jitter(self, uniform: Tensor) -> Tensor:
        strength = torch.tensor(self.config.jitter)
        centre = torch.tensor([1.0, 1.0, 1.0, 0.0])
        lowest = torch.maximum(centre - strength, centre - 1)  # no factor is below 0
        factors = lowest + uniform[:, 1:] * (centre + strength - lowest)
        return torch.where(uniform[:, :1] < self.config.jitter_probability, factors, centre)

    def _draw_sigma(self, uniform: Tensor) -> Tensor:
        low, high = self.config.blur_sigma
        return (low + uniform[:, 1] * (high - low)) * (uniform[:, 0] < self.config.blur)

    @torch.no_grad()
    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment uint8 (B, C, H, W), C 1 or 3: float32 (B, C, *out), contiguous.

        draws are B rows of this object's `sample`, best moved to the device an epoch at once. The
        values lie in [0, 1], or are normalised where mean and std are given. On the CPU the
        result is the same to the last bit in whatever batches the samples come.
        """
        self._check(images, draws)
        draws = draws.to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            if draws.box is None and (draws.offset is not None or draws.flip is not None):
                images = ops.shift(images, draws.offset, draws.flip, self.config.pad)
            if self._widths.keys() <= {"offset", "flip"}:
                return normalise(images, self.mean, self.std)
            planes = ops.to_planes(images)
            for step in (self._crop, self._jitter, self._finish):
                planes = step(planes, draws)
            return ops.standardise(ops.from_planes(planes), self.mean, self.std)

    def _crop(self, planes: Tensor, draws: Draws) -> Tensor:
        if draws.box is None:
            return planes
        (height, width), (top, left, rows, columns) = self.size, draws.box.unbind(1)
        return ops.separable(
            planes,
            ops.crop_weights(top, rows, height, self.out[0]),
            ops.crop_weights(left, columns, width, self.out[1], draws.flip),
        )

    def _jitter(self, planes: Tensor, draws: Draws) -> Tensor:
        if draws.jitter is None or self.config.jitter is None:
            return planes
        for adjust, strength, factor in zip(
            ADJUSTMENTS, self.config.jitter, draws.jitter.unbind(1), strict=True
        ):
            planes = adjust(planes, factor) if strength else planes
        return planes

    def _finish(self, planes: Tensor, draws: Draws) -> Tensor:
        if draws.grayscale is not None:
            planes = ops.adjust_saturation(planes, 1 - draws.grayscale.float())
        if draws.sigma is not None:
            kernel, (height, width) = self.config.blur_kernel, self.out
            rows = ops.blur_weights(draws.sigma, kernel, height)
            columns = rows if width == height else ops.blur_weights(draws.sigma, kernel, width)
            planes = ops.separable(planes, rows, columns)
        return planes if draws.solarize is None else ops.solarize(planes, draws.solarize)

    def _check(self, images: Tensor, draws: Draws) -> None:
        expected = [(channels, *self.size) for channels in (1, 3)]
        if images.dtype != torch.uint8 or images.shape[1:] not in expected:
            raise ValueError(
                f"expected uint8 images (B, 1 or 3, {self.size[0]}, {self.size[1]}), "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        if len(draws) != len(images):
            raise ValueError(f"{len(draws)} rows of draws for {len(images)} images")


def draw_boxes(
    uniform: Tensor,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Tensor:
    """Boxes of RandomResizedCrop: (n, 22) uniform numbers -> (n, 4) top, left, height, width.

    As torchvision's, the first of ten attempts that fits the image, or else the largest central
    crop that keeps to the range of ratios. size is (H, W), scale a share of the area.
    """
    height, width = size
    share, shape, place = uniform.double().split([ATTEMPTS, ATTEMPTS, 2], dim=1)
    area = height * width * (scale[0] + share * (scale[1] - scale[0]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + shape * (high - low))
    tries = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], dim=2).round().long()
    limits = torch.tensor([height, width])
    fits = ((tries > 0) & (tries <= limits)).all(2)
    chosen = tries[torch.arange(len(tries)), fits.int().argmax(1)]
    corner = (place * (limits - chosen + 1)).long()
    central = torch.tensor(_central_extent(size, ratio))
    boxes = torch.cat([corner, chosen], 1)
    return torch.where(fits.any(1, True), boxes, torch.cat([(limits - central) // 2, central]))


def _central_extent(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int]:
    height, width = size
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def normalise(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """uint8 (B, C, H, W) -> float32 in [0, 1], then (x - mean) / std per channel if given."""
    return ops.standardise(images.contiguous().float().div_(255), mean, std)


def _check_moments(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    if (mean is None) != (std is None) or len(mean or ()) != len(std or ()):
        raise UserError(f"mean {mean} and std {std}: give both, with a value for each channel")
    if any(not spread > 0 for spread in std or ()):
        raise UserError(f"std: {std} holds a value that is not above 0")
