"""Image operations on whole batches with one parameter per sample.

Colour and separable operations work on planes: float32 (C, B, H, W) in [0, 1], channels first of
all, so that every channel is one contiguous block. A parameter is a tensor (B,) on the same device.
Each operation equals its namesake in torchvision.transforms.v2.functional on float images up to
float rounding. None of them waits for the device.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.2989, 0.587, 0.114)  # torchvision's, ITU-R 601
_NO_BLUR = 1e-3  # a standard deviation at which every tap but the middle one underflows to 0


def to_planes(images: Tensor) -> Tensor:
    """uint8 (B, C, H, W) -> float32 planes (C, B, H, W) in [0, 1]."""
    planes = images.transpose(0, 1)
    return planes.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def from_planes(planes: Tensor) -> Tensor:
    """Planes (C, B, H, W) -> contiguous (B, C, H, W)."""
    return planes.transpose(0, 1).contiguous()


def standardise(
    images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Tensor:
    """Subtract mean and divide by std per channel, in place; None leaves (B, C, H, W) as it is.

    Raises ValueError where their number is not C.
    """
    if mean is not None and len(mean) != images.shape[1]:
        raise ValueError(f"{len(mean)} means for images of {images.shape[1]} channels")
    for channel, (centre, spread) in enumerate(zip(mean or (), std or (), strict=True)):
        images[:, channel].sub_(centre).div_(spread)
    return images


def shift(images: Tensor, offset: Tensor | None, flip: Tensor | None, pad: int) -> Tensor:
    """Zero-pad by `pad`, crop the original size at offset, then mirror where flip is true.

    images (B, C, H, W) of any type, offset (B, 2) int64 as top, left in [0, 2 pad], flip (B,) bool.
    """
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device).expand(count, height)
    columns = output_positions(width, flip, images.device).expand(count, width)
    if offset is not None:
        rows, columns = rows + offset[:, :1], columns + offset[:, 1:]
        images = F.pad(images, (pad, pad, pad, pad))
    index = rows[:, :, None] * images.shape[3] + columns[:, None, :]
    index = index.view(count, 1, -1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, index).view(count, channels, height, width)


def output_positions(size: int, flip: Tensor | None, device: torch.device) -> Tensor:
    """Output indices 0 ... size-1 as (1, size), or (B, size) counting down where flip is true."""
    positions = torch.arange(size, device=device)[None]
    return positions if flip is None else positions + flip[:, None] * (size - 1 - 2 * positions)


def crop_weights(
    start: Tensor, length: Tensor, size: int, out: int, flip: Tensor | None = None
) -> Tensor:
    """Antialiased bilinear resize of pixels [start, start+length) to `out`, as matrices.

    start and length are (B,) and lie within [0, size]. Returns (B, out, size): the triangle filter
    of half width max(1, length/out) around each output's centre, cut off at the borders of the
    crop, each row summing to 1. Where flip is true the rows run backwards.
    """
    start, length = start[:, None].float(), length[:, None].float()
    scale = length / out
    centres = start + (output_positions(out, flip, start.device) + 0.5) * scale
    pixels = torch.arange(size, device=start.device) + 0.5
    inside = (pixels > start) & (pixels < start + length)
    reach = scale.clamp_min(1)[:, :, None]
    weights = (pixels - centres[:, :, None]).abs_()
    weights = torch.sub(reach, weights, out=weights).clamp_min_(0).mul_(inside[:, None, :])
    return weights.div_(weights.sum(2, keepdim=True))


def blur_weights(sigma: Tensor, kernel: int, size: int) -> Tensor:
    """Gaussian blur of `size` pixels with reflected borders, as matrices (B, size, size).

    sigma (B,) in pixels, 0 for none; kernel is odd, with kernel // 2 < size.
    """
    reach = kernel // 2
    taps = torch.arange(-reach, reach + 1, device=sigma.device)
    density = (taps / sigma.clamp_min(_NO_BLUR)[:, None]).square().mul(-0.5).softmax(1)
    identity = torch.eye(size, device=sigma.device)
    sources = F.pad(identity, (reach, reach), mode="reflect").unfold(1, kernel, 1)
    return torch.einsum("bt,sot->bos", density, sources)


def separable(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows @ plane @ columns^T per sample: (B, H', H) and (B, W', W) on planes (C, B, H, W).

    In place where the size stays the same. Where TF32 is allowed for matrix products on a GPU it
    moves values by up to 1e-3.
    """
    shape = len(planes), *rows.shape[:2], columns.shape[1]
    result = planes if planes.shape == shape else planes.new_empty(shape)
    half = planes.new_empty(*rows.shape[:2], planes.shape[3])
    for plane, target in zip(planes, result, strict=True):
        torch.bmm(torch.bmm(rows, plane, out=half), columns.mT, out=target)
    return result


def luma(planes: Tensor) -> Tensor:
    """Brightness (B, ...) of planes (3, B, ...); a single plane is its own."""
    if len(planes) == 1:
        return planes[0]
    red, green, blue = planes
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def adjust_brightness(planes: Tensor, factor: Tensor) -> Tensor:
    """Multiply by factor >= 0 and clip, in place."""
    return planes.mul_(factor[:, None, None]).clamp_max_(1)


def adjust_contrast(planes: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean luma of the sample: factor 0 is flat grey, 1 the image; in place."""
    means = planes.mean(3).mean(2)  # two steps: the order of summation never depends on B
    return _blend(planes, luma(means)[:, None, None], factor)


def adjust_saturation(planes: Tensor, factor: Tensor) -> Tensor:
    """Blend with the luma of the pixel: factor 0 is grayscale, 1 the image; in place."""
    return planes if len(planes) == 1 else _blend(planes, luma(planes), factor)


def _blend(planes: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = factor[:, None, None]
    return planes.mul_(factor).add_(other.mul_(1 - factor)).clamp_(0, 1)


def adjust_hue(planes: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by `turn` in [-0.5, 0.5] of the circle, in place.

    With lowest channel m and chroma d the hue lies 1 + (g + b - r - m) / d sixths of the circle
    from red, on green's side where g >= b: the six branches of the usual form as one expression.
    Back again, a channel is m + d up to one sixth from its own hue, m from two sixths on, and
    falls linearly between.
    """
    if len(planes) == 1:
        return planes
    red, green, blue = planes
    lowest, highest = planes.amin(0), planes.amax(0)
    chroma = highest - lowest
    hue = (green + blue).sub_(red).sub_(lowest).div_(chroma.clamp_min(1e-9)).add_(1)
    hue.copysign_(green.sub_(blue)).add_((6 * turn + 6)[:, None, None])
    hue.mul_(1 / 6).frac_().mul_(6)
    lowest.sub_(chroma)
    highest.add_(chroma)
    for channel, centre, base, sign in zip(
        planes, (3, 2, 4), (lowest, highest, highest), (1, -1, -1), strict=True
    ):
        torch.sub(hue, centre, out=channel).abs_().clamp_(1, 2)
        torch.addcmul(base, chroma, channel, value=sign, out=channel)
    return planes


def solarize(planes: Tensor, chosen: Tensor) -> Tensor:
    """Invert what is 0.5 or brighter where chosen (B,) is true, in place.

    That is min(x, 1 - x) = 1/2 - |x - 1/2|; a middle of 1 instead leaves x in [0, 1] as it is.
    """
    middle = (1 - chosen.float() / 2)[:, None, None]
    planes.sub_(middle).abs_()
    return torch.sub(middle, planes, out=planes)
